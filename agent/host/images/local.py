"""Images that are on this host: their records, and what containers of them are made of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

from agent.containerd.client import Containerd
from agent.containerd.types import Descriptor
from agent.containerd.types import Image as Record
from agent.host.images.chains import chain_id
from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config
from agent.oci.signals import signal_number
from agent.registry import descriptor
from agent.task.model import Image

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_INDEXES = (descriptor.INDEX, descriptor.DOCKER_INDEX)


class ImageMissing(Exception):
    """The image is not on this host, or is not for it; the text says what to do."""


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


class LocalImages:
    """The images of one containerd namespace. What was read once is remembered, as digests never
    mean anything else."""

    def __init__(self, client: Containerd) -> None:
        self._client = client
        self._found: dict[str, Image] = {}
        self._unpacked: dict[str, Unpacked] = {}

    async def image(self, name: str, record: Record) -> Image:
        """The image of that record, called ``name``. Raises ImageMissing, ContainerdError."""
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
            manifest = await self.manifest(record.target)
            size = sum(layer["size"] for layer in manifest["layers"])
            listed.append(
                Listed(record.name, manifest["config"]["digest"], record.target.digest, size)
            )
        return tuple(sorted(listed, key=lambda each: each.name))

    async def manifest(self, target: Descriptor) -> dict[str, Any]:
        """The manifest for this machine behind ``target``. Raises ImageMissing if there is none."""
        found: dict[str, Any] = json.loads(await self._client.content.read(target.digest))
        if target.media_type not in _INDEXES:
            return found
        ours = {"os": "linux", "architecture": architecture()}
        for each in found.get("manifests", []):
            if ours.items() <= each.get("platform", ours).items():
                child = Descriptor(each["mediaType"], each["digest"], each["size"])
                return await self.manifest(child)
        raise ImageMissing(f"{target.digest} has no image for linux/{architecture()}")

    async def _read(self, name: str, target: Descriptor) -> Image:
        try:
            manifest = await self.manifest(target)
            image_id = str(manifest["config"]["digest"])
            config = (await self.unpacked(image_id)).config
        except (SpecError, KeyError, TypeError, ValueError) as error:
            raise ImageMissing(f"image {name} can't be read: {error}") from error
        return Image(name, image_id, target.digest, signal_number(config.stop_signal))


def architecture() -> str:
    """This machine's, by Go's name."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)
