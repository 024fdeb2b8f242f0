"""What images are on this host, read from containerd's records and from their content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

from agent.containerd.client import Containerd
from agent.containerd.errors import InvalidArgument, NotFound, OutOfRange
from agent.containerd.types import Image as Record
from agent.host.images.arriving import documents
from agent.host.images.chains import chain_ids
from agent.host.images.local import ImageMissing
from agent.host.images.records import PULLED_AT, USED_AT
from agent.host.images.stock.claims import snapshot
from agent.host.images.stock.retention import Stored
from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config
from agent.registry import descriptor, reference
from agent.registry.errors import RegistryError
from agent.registry.manifest import host_platform

_DIGEST = re.compile(r"sha256:[0-9a-f]{12,64}")
_UNREADABLE = (RegistryError, SpecError, NotFound, InvalidArgument, OutOfRange)
"""What comes of reading an image whose content is not whole, or makes no sense."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image is made of on this machine: ``parts`` are its blobs, ``config`` what one says.

    ``indexes`` are the digests of those that lead to its manifest.
    """

    parts: descriptor.Image
    config: ImageConfig
    indexes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its layers as they are stored."""
        return sum(each.size for each in self.parts.layers)

    @property
    def pieces(self) -> frozenset[str]:
        """All its blobs, and the snapshots that its layers have become."""
        blobs = (self.parts.manifest, self.parts.config, *self.parts.layers)
        snapshots = map(snapshot, chain_ids(self.config.diff_ids))
        return frozenset((*self.indexes, *(each.digest for each in blobs), *snapshots))


class Inventory:
    """The images of one containerd namespace."""

    def __init__(self, client: Containerd) -> None:
        self._client = client
        self._platform = host_platform()

    async def images(self) -> tuple[Stored, ...]:
        """All images, by name; those that can't be read have no id. Raises ContainerdError."""
        records = sorted(await self._client.images.list(), key=_digest)
        grouped = [tuple(group) for _, group in groupby(records, key=_digest)]
        return tuple(sorted([await self._stored(each) for each in grouped], key=_names))

    async def contents(self, image: Stored) -> Contents:
        """What the image is made of. Raises ImageMissing if it can't be read, ContainerdError."""
        try:
            return await self._read(await self._client.images.get(image.names[0]))
        except _UNREADABLE as error:
            raise ImageMissing(f"image {image.names[0]} can't be read: {error}") from error

    async def weights(self, images: Iterable[Stored]) -> Mapping[str, int]:
        """Bytes of every piece of the images that is there. Raises ContainerdError."""
        found = {each.digest: each.size for each in await self._client.content.list()}
        for info in await self._client.snapshots.list():
            found[snapshot(info.name)] = 0
        wanted = frozenset[str]().union(*(each.pieces for each in images))
        for each in wanted.intersection(found):
            if (chain := each.removeprefix(snapshot(""))) != each:
                with suppress(NotFound):  # collected meanwhile
                    found[each] = await self._client.snapshots.usage(chain)
        return {each: found[each] for each in wanted.intersection(found)}

    async def _stored(self, records: tuple[Record, ...]) -> Stored:
        names = tuple(sorted(each.name for each in records))
        named = [each for each in records if "@" not in each.name] or records
        pulled = [_time(each, PULLED_AT) for each in named]
        image = Stored(
            digest=records[0].target.digest,
            id="",
            names=names,
            pulled_at=None if None in pulled else max(each or 0.0 for each in pulled),
            used_at=max(_time(each, USED_AT) or 0.0 for each in records) or None,
            pieces=frozenset((records[0].target.digest,)),
        )
        try:
            contents = await self._read(records[0])
        except _UNREADABLE:
            return image
        return replace(
            image,
            id=contents.parts.config.digest,
            size=contents.size,
            created_at=_epoch(contents.config.created),
            pieces=contents.pieces,
        )

    async def _read(self, record: Record) -> Contents:
        target = record.target

        async def read(wanted: descriptor.Descriptor) -> bytes:
            return await self._client.content.read(wanted.digest)

        asked = descriptor.Descriptor(target.media_type, target.digest, target.size)
        found = await documents.find(asked, self._platform, read)
        *indexes, manifest = (each.descriptor for each in found.path)
        config = found.manifest.config
        return Contents(
            descriptor.Image((record.name,), manifest, config, found.manifest.layers),
            parse_image_config(await read(config)),
            tuple(each.digest for each in indexes),
        )


def pick(images: Iterable[Stored], text: str) -> Stored:
    """The image that ``text`` means: a name, or 12 digits or more of its digest or of its id.

    Raises ImageMissing, with what to do.
    """
    if _DIGEST.fullmatch(text):
        found = [
            each for each in images if each.digest.startswith(text) or each.id.startswith(text)
        ]
        if len(found) > 1:
            raise ImageMissing(f"{len(found)} images begin with {text}: give more digits")
    else:
        try:
            name = str(reference.parse(text))
        except reference.InvalidReference as error:
            raise ImageMissing(str(error)) from error
        found = [each for each in images if name in each.names]
    if not found:
        raise ImageMissing(f"there is no image {text}: 'hostler image ls' shows those there are")
    return found[0]


def _digest(record: Record) -> str:
    return record.target.digest


def _names(image: Stored) -> tuple[str, ...]:
    return image.names


def _time(record: Record, label: str) -> float | None:
    try:
        return float(record.labels[label])
    except (KeyError, ValueError):
        return None


def _epoch(rfc3339: str) -> float | None:
    """Epoch seconds; None too for the epoch itself, which images have that hide their age."""
    try:
        read = datetime.fromisoformat(rfc3339)
    except ValueError:
        return None
    at = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    return at if at > 0 else None
