"""Registries over HTTP: which hosts serve one, how we prove who we are, what they give.

The OCI distribution specification is the contract; ``certs.d`` (containerd) and Docker's token
authentication are the conventions. Begin reading at ``registries`` and ``repository``.
"""
