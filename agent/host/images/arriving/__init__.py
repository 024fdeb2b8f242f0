"""Images on their way into containerd: transferred, unpacked, recorded.

pulling     one pull for each image, however many wait for it
transfer    a layer from a registry into the content store, checked as it comes
unpacking   layers to snapshots, all at once where that can be done (scratch)
keeping     what has come is held by a lease until the image has its names
lanes       registries don't wait for each other
"""
