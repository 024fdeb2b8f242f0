"""Images on this host: obtained for containers, pulled, loaded, unpacked, and cleaned up.

obtaining   which image a container gets, by the rules in policy
fetching    what is asked of registries, with patience (retries)
opening     all of it put together
pulling     images from registries, one pull for all who wait for the same (flights)
transfer    blobs into the content store, in turns by digest
documents   from what a reference means to the manifest for this machine
local       images that are here
inventory   what images there are, and what they are made of
byhand      images that people ask for
loading     images from archives; saving: images to archives
unpacking   layers to snapshots, whose names are in chains; all at once: scratch
keeping     what keeps an image from garbage collection while it comes and afterwards
pulls       how far pulls have come, for people
records     labels of image records and of layers
retention   which images may go, and why; usage: which of them tasks refer to
cleaning    removes them; claims: what of them is in use meanwhile
"""
