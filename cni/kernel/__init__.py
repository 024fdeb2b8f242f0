"""What the kernel is asked, message by message: links, addresses, routes, nftables, namespaces.

Nothing here knows what a plugin is. A socket belongs to the network namespace of the thread that
made it; who calls decides where.
"""
