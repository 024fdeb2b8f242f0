"""Images on this host: found by reference, loaded from archives, unpacked once.

Nothing is fetched from a registry here. The one image that is made here is hello, from the host's
static busybox. What is imported is held by a lease until image record and labels refer to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists, NotFound
from agent.containerd.types import Descriptor
from agent.containerd.types import Image as Record
from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config
from agent.oci.signals import signal_number
from agent.registry import descriptor, hello, reference
from agent.registry.archives import archive
from agent.task.model import Image

LEASE_S = 3600.0
"""Longest import; then the lease ends, so that a crash leaks nothing for ever."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_INDEXES = (descriptor.INDEX, descriptor.DOCKER_INDEX)


class ImageMissing(Exception):
    """The image is not on this host, or is not for it; the text says what to do."""


class LoadError(Exception):
    """The archive can't be loaded; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An image ready for containers: its config, and the snapshot of its topmost layer."""

    config: ImageConfig
    chain_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of ``hostler image ls``."""

    name: str
    id: str
    digest: str
    size: int


class Images:
    """The images of one containerd namespace."""

    def __init__(self, client: Containerd, spool: Path) -> None:
        self._client = client
        self._spool = spool
        self._found: dict[str, Image] = {}
        self._unpacked: dict[str, Unpacked] = {}
        self._importing = asyncio.Lock()
        self._building = asyncio.Lock()

    async def find(self, text: str) -> Image:
        """The image that ``text`` (ECS ``image``) means. Raises ImageMissing, ContainerdError."""
        try:
            name = str(reference.parse(text))
        except reference.InvalidReference as error:
            raise ImageMissing(str(error)) from error
        try:
            record = await self._client.images.get(name)
        except NotFound as error:
            if name != hello.NAME:
                raise ImageMissing(
                    f"image {name} is not on this host: load it with 'hostler image load FILE'"
                ) from error
            await self._ensure_hello()
            record = await self._client.images.get(name)
        target = record.target.digest
        if target not in self._found:
            self._found[target] = await self._read(name, record.target)
        return replace(self._found[target], name=name)  # an image may have several names

    async def unpacked(self, image_id: str) -> Unpacked:
        """What containers of the image with this config are made of. Raises ContainerdError."""
        if image_id not in self._unpacked:
            config = parse_image_config(await self._client.content.read(image_id))
            self._unpacked[image_id] = Unpacked(config, chain_id(config.diff_ids))
        return self._unpacked[image_id]

    async def list(self) -> tuple[Listed, ...]:
        """All images, by name. ``size`` is that of the layers as they are stored."""
        listed = []
        for record in await self._client.images.list():
            manifest = await self._manifest(record.target)
            size = sum(layer["size"] for layer in manifest["layers"])
            listed.append(
                Listed(record.name, manifest["config"]["digest"], record.target.digest, size)
            )
        return tuple(sorted(listed, key=lambda each: each.name))

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
            except archive.ArchiveError as error:
                raise LoadError(str(error)) from error
            except OSError as error:
                raise LoadError(f"can't keep the archive in {self._spool}: {error}") from error

    async def _ensure_hello(self) -> None:
        async with self._building:
            with suppress(NotFound):
                await self._client.images.get(hello.NAME)
                return
            await self._build_hello()

    async def _build_hello(self) -> None:
        try:
            built = await asyncio.to_thread(lambda: hello.build(hello.find_busybox()))
        except hello.HelloError as error:
            raise ImageMissing(str(error)) from error
        await self.load(_once(built))

    async def _import(self, file: BinaryIO) -> tuple[str, ...]:
        with await asyncio.to_thread(archive.Archive, file, _architecture()) as opened:
            if not all(image.names for image in opened.images):
                raise LoadError("an image in the archive has no name: save it with name and tag")
            async with self._importing, self._leased() as client:
                for image in opened.images:
                    await self._import_one(client, opened, image)
            return tuple(name for image in opened.images for name in image.names)

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[Containerd]:
        """What is made with this client is kept until left, or until the lease runs out."""
        lease = f"load-{uuid.uuid4().hex}"
        await self._client.leases.create(lease, expires_at=time.time() + LEASE_S)
        try:
            yield self._client.with_lease(lease)
        finally:
            await self._client.leases.delete(lease)

    async def _import_one(
        self, client: Containerd, opened: archive.Archive, image: descriptor.Image
    ) -> None:
        for layer in image.layers:
            await _write(client, opened, layer, {})
        config = parse_image_config(b"".join(opened.blob(image.config)))
        if len(config.diff_ids) != len(image.layers):
            raise LoadError(f"{image.names[0]}: its config and its manifest differ in layers")
        chain = chain_id(config.diff_ids)
        snapshot = f"containerd.io/gc.ref.snapshot.{client.snapshotter}"
        await _write(client, opened, image.config, {snapshot: chain})
        await _write(client, opened, image.manifest, _references(image))
        await self._unpack(client, image.layers, config.diff_ids)
        target = _descriptor(image.manifest)
        for name in image.names:
            await client.images.create_or_update(Record(name, target))

    async def _unpack(
        self, client: Containerd, layers: tuple[descriptor.Descriptor, ...], ids: tuple[str, ...]
    ) -> None:
        """Every layer is a committed snapshot named by its chain id (OCI image-spec, config)."""
        for depth, layer in enumerate(layers, start=1):
            chain, parent = chain_id(ids[:depth]), chain_id(ids[: depth - 1])
            try:
                await client.snapshots.stat(chain)
                continue
            except NotFound:
                pass
            key = f"unpack-{uuid.uuid4().hex}"
            mounts = await client.snapshots.prepare(key, parent)
            try:
                applied = await client.diff.apply(_descriptor(layer), mounts)
                if applied.digest != ids[depth - 1]:
                    raise LoadError(f"layer {layer.digest} is not what the image's config says")
                with suppress(AlreadyExists):
                    await client.snapshots.commit(chain, key)
            finally:
                with suppress(NotFound):
                    await client.snapshots.remove(key)

    async def _read(self, name: str, target: Descriptor) -> Image:
        try:
            manifest = await self._manifest(target)
            image_id = str(manifest["config"]["digest"])
            config = (await self.unpacked(image_id)).config
        except (SpecError, KeyError, TypeError, ValueError) as error:
            raise ImageMissing(f"image {name} can't be read: {error}") from error
        return Image(name, image_id, target.digest, signal_number(config.stop_signal))

    async def _manifest(self, target: Descriptor) -> dict[str, Any]:
        """The manifest for this machine behind ``target``. Raises ImageMissing if there is none."""
        found: dict[str, Any] = json.loads(await self._client.content.read(target.digest))
        if target.media_type not in _INDEXES:
            return found
        ours = {"os": "linux", "architecture": _architecture()}
        for each in found.get("manifests", []):
            if ours.items() <= each.get("platform", ours).items():
                child = Descriptor(each["mediaType"], each["digest"], each["size"])
                return await self._manifest(child)
        raise ImageMissing(f"{target.digest} has no image for linux/{_architecture()}")


def chain_id(diff_ids: tuple[str, ...]) -> str:
    """Name of the snapshot of these layers on top of each other; empty for none."""
    chain = ""
    for each in diff_ids:
        digest = hashlib.sha256(f"{chain} {each}".encode()).hexdigest()
        chain = f"sha256:{digest}" if chain else each
    return chain


def _architecture() -> str:
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def _references(image: descriptor.Image) -> dict[str, str]:
    """Labels that keep what a manifest names from being collected."""
    references = {"containerd.io/gc.ref.content.config": image.config.digest}
    for number, layer in enumerate(image.layers):
        references[f"containerd.io/gc.ref.content.l.{number}"] = layer.digest
    return references


def _descriptor(given: descriptor.Descriptor) -> Descriptor:
    return Descriptor(given.media_type, given.digest, given.size)


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


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
