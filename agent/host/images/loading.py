"""Images from archives.

What is imported is held by a lease until image record and labels refer to it.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from agent.containerd.client import Containerd
from agent.containerd.types import Descriptor
from agent.containerd.types import Image as Record
from agent.host.images.arriving.keeping import Keeper, config_labels, manifest_labels
from agent.host.images.arriving.transfer import Checking
from agent.host.images.arriving.unpacking import Unpacker, processors
from agent.host.images.chains import chain_id
from agent.oci.errors import SpecError
from agent.oci.image import parse_image_config
from agent.printable import printable
from agent.registry import descriptor, reference
from agent.registry.archives import archive
from agent.registry.errors import RegistryError
from agent.registry.layers.check import LayerCheck, LayerError
from agent.registry.manifest import host_platform

LEASE_S = 3600.0
"""Longest import; then the lease ends, so that a crash leaks nothing for ever."""


class LoadError(Exception):
    """The archive can't be loaded; the text says what is wrong with it, and is made printable as it
    quotes names in the archive."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class Loader:
    """Imports archives, one at a time; ``spool`` is where they are kept meanwhile.

    ``layer_limit``: most bytes of a layer when unpacked.
    """

    def __init__(self, client: Containerd, spool: Path, layer_limit: int) -> None:
        self._client = client
        self._keeper = Keeper(client, "load")
        self._spool = spool
        self._layer_limit = layer_limit
        self._checking = Checking()
        self._importing = asyncio.Lock()
        self._unpacker = Unpacker(processors())

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Imports every image of an archive for this architecture; gives their names.

        Raises LoadError for a bad archive, ContainerdError. Nothing half-loaded stays.
        """
        self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=self._spool) as file:
            try:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
                file.seek(0)
                return await self._import(file)
            except (archive.ArchiveError, RegistryError, SpecError) as error:
                raise LoadError(str(error)) from error
            except OSError as error:
                raise LoadError(f"can't keep the archive in {self._spool}: {error}") from error

    async def sweep(self) -> None:
        """What loads of an earlier agent left is gone, unless containerd is away."""
        await self._keeper.sweep()

    async def _import(self, file: BinaryIO) -> tuple[str, ...]:
        machine = host_platform().architecture
        with await asyncio.to_thread(archive.Archive, file, machine, self._spool) as opened:
            images = tuple(replace(each, names=_true_names(each)) for each in opened.images)
            if not all(image.names for image in images):
                raise LoadError("an image in the archive has no name: save it with name and tag")
            async with self._importing, self._keeper.leased(LEASE_S) as held:
                for image in images:
                    await self._import_one(held.client, opened, image)
                held.referred = True
            return tuple(name for image in images for name in image.names)

    async def _import_one(
        self, client: Containerd, opened: archive.Archive, image: descriptor.Image
    ) -> None:
        for layer in image.layers:
            await self._check(opened, layer)
            await _write(client, opened, layer, {})
        config = parse_image_config(b"".join(opened.blob(image.config)))
        if len(config.diff_ids) != len(image.layers):
            raise LoadError(f"{image.names[0]}: its config and its manifest differ in layers")
        chain = chain_id(config.diff_ids)
        await _write(client, opened, image.config, config_labels(client.snapshotter, chain))
        await _write(client, opened, image.manifest, manifest_labels(image.config, image.layers))
        await self._unpacker.one_by_one(client, image.layers, config.diff_ids)
        target = Descriptor(image.manifest.media_type, image.manifest.digest, image.manifest.size)
        for name in image.names:
            await client.images.create_or_update(Record(name, target))

    async def _check(self, opened: archive.Archive, layer: descriptor.Descriptor) -> None:
        """The look through a layer that those from registries get, too. Raises LayerError."""
        check = LayerCheck(layer.media_type, self._layer_limit)
        try:
            await self._checking.facts(check, _in_thread(opened.blob(layer)))
        except LayerError as error:
            raise LayerError(f"layer {layer.digest}: {error}") from error


def _true_names(image: descriptor.Image) -> tuple[str, ...]:
    """Those with no digest, or with its own: else whoever asks for a digest would get this."""
    digests = {name: reference.parse(name).digest for name in image.names}
    return tuple(name for name in image.names if digests[name] in (None, image.manifest.digest))


async def _write(
    client: Containerd,
    opened: archive.Archive,
    blob: descriptor.Descriptor,
    labels: dict[str, str],
) -> None:
    chunks = _in_thread(opened.blob(blob))
    ref = f"load-{uuid.uuid4().hex}"
    await client.content.write(ref, chunks, size=blob.size, digest=blob.digest, labels=labels)


async def _in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
