"""Images on this host: obtained for containers, pulled, loaded, unpacked, and cleaned up.

obtaining   which image a container gets
local       images that are here
loading     images from archives
unpacking   layers to snapshots, whose names are in chains
keeping     what keeps an image from garbage collection while it comes and afterwards
pulls       how far pulls have come, for people
records     labels of image records
"""
