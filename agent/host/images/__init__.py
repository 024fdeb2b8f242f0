"""Images on this host: which one each container gets, how they come, and when they go.

obtaining   which image a container gets; when a registry is asked: policy
fetching    registries are asked with patience; failures have ECS's names
arriving/   images on their way from a registry into containerd
loading     images from archives; saving: to archives; byhand: pulled for people
stock/      images that are here, and their clean-up
pulls       how far pulls have come, for people
opening     all of it, put together
"""
