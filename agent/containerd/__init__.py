"""Typed asyncio client for containerd's gRPC API (1.6, 1.7, 2.x), and a containerd of our own.

``client.Containerd`` is the door, with one file per service below it; ``types`` holds the values it
takes and gives, ``errors`` what it raises; ``embedded`` runs a private daemon. Knows gRPC and
containerd, but no tasks of ours: what to create, and when, belongs to ``agent.host``. ``proto/``
names only the messages and fields that are used; ``pb/`` is generated from it.
"""
