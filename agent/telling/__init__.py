"""What the agent tells, to tasks and to the host's programs: its side of the package ``metadata``.

``side`` puts it together. ``feed_source`` turns the feed's pictures into facts; ``credentials``,
``guardian`` (task protection), ``checkup`` (health) and ``introspection`` (the port on loopback)
are for one subject each.
"""
