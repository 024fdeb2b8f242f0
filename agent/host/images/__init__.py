"""Images on this host: obtained for containers, pulled, loaded, unpacked, and cleaned up.

obtaining   which image a container gets: the pull behaviours
pulling     one transfer per image into containerd's content store, however many wait for it
unpacking   layers to snapshots
loading     images from archives
local       images that are here
pulls       how far pulls have come, for people
"""
