"""Images as data: their names, where they come from, and archives of them.

What comes out are descriptors and streams of verified bytes; putting them into containerd's
content store is ``agent.host.images``. Nothing here imports the containerd client or knows tasks.
"""
