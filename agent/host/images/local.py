"""Images that are on this host: their records, and what containers of them are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.containerd.client import Containerd
from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image as Record
from agent.host.images.arriving import documents
from agent.host.images.chains import chain_id
from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config
from agent.oci.signals import signal_number
from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError
from agent.registry.manifest import Manifest, host_platform
from agent.task.model import Image


class ImageMissing(Exception):
    """The image is not on this host, or is not for it; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An image ready for containers: its config, and the snapshot of its topmost layer."""

    config: ImageConfig
    chain_id: str


class LocalImages:
    """The images of one containerd namespace. What was read once is remembered, as digests never
    mean anything else."""

    def __init__(self, client: Containerd) -> None:
        self._client = client
        self._found: dict[str, Image] = {}
        self._unpacked: dict[str, Unpacked] = {}
        self._platform = host_platform()

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

    async def manifest(self, target: Target) -> Manifest:
        """The manifest for this machine behind ``target``.

        Raises ImageMissing if there is none or it makes no sense, ContainerdError.
        """

        async def read(wanted: Descriptor) -> bytes:
            return await self._client.content.read(wanted.digest)

        asked = Descriptor(target.media_type, target.digest, target.size)
        try:
            return (await documents.find(asked, self._platform, read)).manifest
        except RegistryError as error:
            raise ImageMissing(str(error)) from error

    async def _read(self, name: str, target: Target) -> Image:
        try:
            image_id = (await self.manifest(target)).config.digest
            config = (await self.unpacked(image_id)).config
        except (ImageMissing, SpecError) as error:
            raise ImageMissing(f"image {name} can't be read: {error}") from error
        return Image(name, image_id, target.digest, signal_number(config.stop_signal))
