"""What keeps the parts of an image from containerd's garbage collection: labels, and leases.

An image record holds its target; labels on a blob hold what the blob refers to; a lease holds what
is made under it until the record is there.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from agent.containerd.client import Containerd
from agent.registry.descriptor import Descriptor

_CONTENT = "containerd.io/gc.ref.content"
_SNAPSHOT = "containerd.io/gc.ref.snapshot"


def manifest_labels(config: Descriptor, layers: Iterable[Descriptor]) -> dict[str, str]:
    """Labels of a manifest: its config and its layers."""
    numbered = {f"{_CONTENT}.l.{number}": each.digest for number, each in enumerate(layers)}
    return {f"{_CONTENT}.config": config.digest, **numbered}


def config_labels(snapshotter: str, chain: str) -> dict[str, str]:
    """Labels of a config: the topmost snapshot, if the image has a layer at all."""
    return {f"{_SNAPSHOT}.{snapshotter}": chain} if chain else {}


@asynccontextmanager
async def leased(client: Containerd, purpose: str, lasts_s: float) -> AsyncIterator[Containerd]:
    """What is made with this client is kept until left, or until the lease runs out."""
    lease = f"{purpose}-{uuid.uuid4().hex}"
    await client.leases.create(lease, expires_at=time.time() + lasts_s)
    try:
        yield client.with_lease(lease)
    finally:
        await client.leases.delete(lease)
