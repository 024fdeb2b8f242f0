"""What keeps the parts of an image from containerd's garbage collection: labels, and leases.

An image record holds its target; labels on a blob hold what the blob refers to; a lease holds what
is made under it until the record is there.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, NotFound
from agent.registry.descriptor import Descriptor

log = logging.getLogger(__name__)

_CONTENT = "containerd.io/gc.ref.content"
_SNAPSHOT = "containerd.io/gc.ref.snapshot"


def manifest_labels(config: Descriptor, layers: Iterable[Descriptor]) -> dict[str, str]:
    """Labels of a manifest: its config and its layers."""
    numbered = {f"{_CONTENT}.l.{number}": each.digest for number, each in enumerate(layers)}
    return {f"{_CONTENT}.config": config.digest, **numbered}


def index_labels(chosen: Descriptor) -> dict[str, str]:
    """Labels of an index: the one that is here of those it lists."""
    return {f"{_CONTENT}.m.0": chosen.digest}


def config_labels(snapshotter: str, chain: str) -> dict[str, str]:
    """Labels of a config: the topmost snapshot, if the image has a layer at all."""
    return {f"{_SNAPSHOT}.{snapshotter}": chain} if chain else {}


@dataclass(slots=True)
class Held:
    """What is made with ``client`` is held. ``referred``: others refer to it by now, so that
    there is nothing to collect."""

    client: Containerd
    referred: bool = False


@asynccontextmanager
async def leased(client: Containerd, purpose: str, lasts_s: float) -> AsyncIterator[Held]:
    """What is made meanwhile is kept until left, or until the lease runs out.

    If nothing refers to it then, it is gone at the end.
    """
    lease = f"{purpose}-{uuid.uuid4().hex}"
    held = Held(client.with_lease(lease))
    try:
        await client.leases.create(lease, expires_at=time.time() + lasts_s)
        yield held
    finally:
        try:
            await client.leases.delete(lease, sync=not held.referred)
        except NotFound:
            pass
        except ContainerdError as error:
            log.warning("lease %s stays until it runs out: %s", lease, error)
