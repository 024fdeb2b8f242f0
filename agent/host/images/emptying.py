"""All images of a containerd namespace thrown away, and the namespace with them.

For a host that Hostler leaves: what the cleaner spares is gone too.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from agent.containerd.client import Containerd
from agent.containerd.errors import FailedPrecondition, NotFound

_LEASE: Final = "hostler-reset"
_LEASE_S: Final = 3600.0


async def empty(client: Containerd) -> list[str]:
    """No image, layer or half-done pull is left, nor the namespace; tells what there was.

    What other containers in the namespace stand on stays, and the namespace then too. Raises
    ContainerdError.
    """
    told = []
    for image in await client.images.list():
        with suppress(NotFound):
            await client.images.delete(image.name)
            told.append(f"image {image.name}")
    for lease in await client.leases.list():
        with suppress(NotFound):
            await client.leases.delete(lease.id)
    for write in await client.content.statuses():
        await client.content.abort(write.ref)
    if await client.containers.list():
        return told
    await _remove_snapshots(client)
    for blob in await client.content.list():
        with suppress(NotFound):
            await client.content.delete(blob.digest)
    await _collect(client)
    with suppress(NotFound, FailedPrecondition):  # another snapshotter's may be in it
        await client.namespaces.delete(client.namespace)
        told.append(f"containerd's namespace {client.namespace}")
    return told


async def _remove_snapshots(client: Containerd) -> None:
    """Those that nothing stands on first, until none is left."""
    while there := await client.snapshots.list():
        parents = {each.parent for each in there}
        for each in there:
            if each.name not in parents:
                with suppress(NotFound):
                    await client.snapshots.remove(each.name)


async def _collect(client: Containerd) -> None:
    """What was deleted is off the disk: the end of a lease is what containerd can be held to."""
    await client.leases.create(_LEASE, expires_at=time.time() + _LEASE_S)
    await client.leases.delete(_LEASE, sync=True)
