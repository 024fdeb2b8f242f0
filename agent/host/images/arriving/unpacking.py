"""Layers become snapshots: each is a committed one on top of those below it.

They are unpacked all at once where that can be done (``scratch``), else one after the other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.containerd.client import Containerd
from agent.containerd.errors import (
    AlreadyExists,
    ContainerdError,
    DeadlineExceeded,
    NotFound,
    Unavailable,
)
from agent.containerd.types import Descriptor, Mount
from agent.host.images.arriving.scratch import TIDY_S, Misfit, Scratch, as_upper, scratch
from agent.host.images.arriving.turns import Turns
from agent.host.images.chains import chain_ids
from agent.host.images.pulls import LayerProgress, LayerState
from agent.registry import descriptor
from agent.registry.errors import RegistryError
from agent.registry.layers.check import LayerFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layer:
    """``chain`` and ``parent``: the snapshots that it becomes and that it stands on, "" for none;
    ``diff_id``: the digest of its tar."""

    blob: descriptor.Descriptor
    diff_id: str
    chain: str
    parent: str


def stacked(blobs: Sequence[descriptor.Descriptor], diff_ids: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of an image, as many as its config has diff ids, the lowest first."""
    chains = chain_ids(diff_ids)
    return tuple(
        Layer(*each) for each in zip(blobs, diff_ids, chains, ("", *chains[:-1]), strict=True)
    )


def processors() -> asyncio.Semaphore:
    """As many as this machine has."""
    return asyncio.Semaphore(os.cpu_count() or 1)


@dataclass(slots=True)
class Stack:
    """The layers of one image that is being unpacked, and which of them are."""

    client: Containerd
    layers: tuple[Layer, ...]
    scratch: Scratch | None
    ready: dict[str, asyncio.Event]


@dataclass(frozen=True, slots=True)
class Unpacker:
    """Unpacks no more layers at once than there are ``processors``, and none twice."""

    processors: asyncio.Semaphore
    _turns: Turns = field(default_factory=Turns)

    async def one_by_one(
        self, client: Containerd, blobs: Sequence[descriptor.Descriptor], diff_ids: Sequence[str]
    ) -> None:
        """Unpacks layers of which nothing is known. Raises as ``unpack``."""
        async with self.stack(client, stacked(blobs, diff_ids)) as stack:
            for layer in stack.layers:
                progress = LayerProgress(layer.blob.digest, layer.blob.size)
                await self.unpack(stack, layer, None, progress)

    @asynccontextmanager
    async def stack(self, client: Containerd, layers: tuple[Layer, ...]) -> AsyncIterator[Stack]:
        """The layers are to be unpacked meanwhile, under the client's lease.

        Those that are snapshots already are ready. Raises ContainerdError.
        """
        ready = {"": asyncio.Event(), **{each.chain: asyncio.Event() for each in layers}}
        there = await _deepest(client, layers)
        for each in ("", *(each.chain for each in layers[:there])):
            ready[each].set()
        if len(layers) - there > 1:
            async with scratch(client) as folders:
                yield Stack(client, layers, folders, ready)
        else:
            yield Stack(client, layers, None, ready)

    async def unpack(
        self, stack: Stack, layer: Layer, facts: LayerFacts | None, progress: LayerProgress
    ) -> None:
        """The layer, which is in the content store, is a snapshot.

        Waits for those below it. Raises RegistryError if it is not what its diff id says,
        ContainerdError.
        """
        if stack.ready[layer.chain].is_set():
            return
        async with self._turns.of(layer.chain):
            if not await _held(stack.client, layer.chain):
                progress.state = LayerState.UNPACKING
                alone = facts is not None and facts.self_contained
                if not (alone and await self._apart(stack, layer)):
                    await self._in_place(stack, layer)
        stack.ready[layer.chain].set()

    async def _apart(self, stack: Stack, layer: Layer) -> bool:
        """Unpacks it while those below it are not ready; whether that could be done."""
        below, folders = stack.ready[layer.parent], stack.scratch
        if folders is None or below.is_set():
            return False
        try:
            filled = await self._fill(stack.client, folders, layer)
            await below.wait()
            async with _prepared(stack.client, layer) as mounts:
                await folders.place(filled, mounts)
        except Misfit as error:
            log.info("layers are unpacked one after the other: %s", error)
            stack.scratch = None
            return False
        return True

    async def _in_place(self, stack: Stack, layer: Layer) -> None:
        await stack.ready[layer.parent].wait()
        async with _prepared(stack.client, layer) as mounts:
            await self._apply(stack.client, layer, mounts)

    async def _fill(self, client: Containerd, into: Scratch, layer: Layer) -> Path:
        folder = await into.folder(layer.chain)
        try:
            await self._apply(client, layer, as_upper(folder))
        except (Unavailable, DeadlineExceeded):
            raise
        except ContainerdError as error:  # it may be the layer's fault or that of this way
            raise Misfit(str(error)) from error
        return folder

    async def _apply(self, client: Containerd, layer: Layer, mounts: tuple[Mount, ...]) -> None:
        blob = Descriptor(layer.blob.media_type, layer.blob.digest, layer.blob.size)
        async with self.processors:
            applied = await client.diff.apply(blob, mounts)
        if applied.digest != layer.diff_id:
            raise RegistryError(
                f"layer {layer.blob.digest} is {applied.digest} when unpacked;"
                f" the image's config says {layer.diff_id}"
            )


@asynccontextmanager
async def _prepared(client: Containerd, layer: Layer) -> AsyncIterator[tuple[Mount, ...]]:
    """A snapshot to be filled; it is the layer's if that went well, else gone."""
    key = f"unpack-{uuid.uuid4().hex}"
    try:
        yield await client.snapshots.prepare(key, layer.parent)
        try:
            await client.snapshots.commit(layer.chain, key)
        except AlreadyExists:  # made by somebody else meanwhile
            await _held(client, layer.chain)
    finally:
        with suppress(ContainerdError):  # what stays goes with the lease
            await client.snapshots.remove(key, timeout=TIDY_S)


async def _deepest(client: Containerd, layers: tuple[Layer, ...]) -> int:
    """How many layers, from the lowest on, are snapshots already; they are held from now on."""
    for number in range(len(layers), 0, -1):
        if await _held(client, layers[number - 1].chain):
            return number
    return 0


async def _held(client: Containerd, chain: str) -> bool:
    """Whether the snapshot is there; the lease holds it, and those below it, if it is."""
    try:
        await client.snapshots.stat(chain)
        await client.leases.hold_snapshot(client.lease, client.snapshotter, chain)
        await client.snapshots.stat(chain)
    except NotFound:
        return False
    return True
