"""Layers become snapshots: each is a committed one on top of those below it."""

from __future__ import annotations

import uuid
from contextlib import suppress

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists, NotFound
from agent.containerd.types import Descriptor
from agent.host.images.chains import chain_ids
from agent.registry import descriptor
from agent.registry.errors import RegistryError


async def unpack(
    client: Containerd, layers: tuple[descriptor.Descriptor, ...], diff_ids: tuple[str, ...]
) -> None:
    """Every layer is a committed snapshot named by its chain id.

    Raises RegistryError if a layer is not what its diff id says, ContainerdError.
    """
    parent = ""
    for layer, diff_id, chain in zip(layers, diff_ids, chain_ids(diff_ids), strict=True):
        try:
            await client.snapshots.stat(chain)
        except NotFound:
            await _unpack_on(client, parent, layer, diff_id, chain)
        parent = chain


async def _unpack_on(
    client: Containerd, parent: str, layer: descriptor.Descriptor, diff_id: str, chain: str
) -> None:
    key = f"unpack-{uuid.uuid4().hex}"
    mounts = await client.snapshots.prepare(key, parent)
    try:
        applied = await client.diff.apply(
            Descriptor(layer.media_type, layer.digest, layer.size), mounts
        )
        if applied.digest != diff_id:
            raise RegistryError(f"layer {layer.digest} is not what the image's config says")
        with suppress(AlreadyExists):
            await client.snapshots.commit(chain, key)
    finally:
        with suppress(NotFound):
            await client.snapshots.remove(key)
