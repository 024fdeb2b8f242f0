"""Images to archives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.host.images.local import ImageMissing
from agent.host.images.stock.claims import Claims
from agent.host.images.stock.inventory import Inventory
from agent.host.images.stock.retention import Stored
from agent.registry import reference
from agent.registry.archives import writing
from agent.registry.descriptor import Descriptor, Image


class Saver:
    """Gives out the images of one containerd namespace. What is being saved is not removed."""

    def __init__(self, client: Containerd, claims: Claims) -> None:
        self._client = client
        self._inventory = Inventory(client)
        self._claims = claims

    async def archive(self, images: Mapping[str, Stored]) -> AsyncGenerator[bytes]:
        """One archive of all these images, each under the names it is given here.

        Raises ImageMissing, ContainerdError; so does the stream, and WriteError.
        """
        parts: dict[str, Image] = {}
        for name, stored in images.items():
            found = (await self._inventory.contents(stored)).parts
            before = parts[stored.digest].names if stored.digest in parts else ()
            named = _named(name, found.manifest)
            parts[stored.digest] = replace(found, names=(*before, named))
            for blob in (found.manifest, found.config, *found.layers):
                await self._check(name, blob)
        return self._written(tuple(parts.values()), images)

    async def _written(
        self, parts: tuple[Image, ...], images: Mapping[str, Stored]
    ) -> AsyncGenerator[bytes]:
        pieces = frozenset[str]().union(*(each.pieces for each in images.values()))
        async with self._claims.on(*pieces), aclosing(writing.write(parts, self._blob)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _blob(self, blob: Descriptor) -> AsyncGenerator[bytes]:
        return self._client.content.read_stream(blob.digest)

    async def _check(self, name: str, blob: Descriptor) -> None:
        try:
            await self._client.content.info(blob.digest)
        except NotFound as error:
            raise ImageMissing(
                f"image {name} is not whole: {blob.digest} is gone; pull or load it again"
            ) from error


def _named(name: str, manifest: Descriptor) -> str:
    """The name of what is saved: of an index that is one manifest, which has another digest."""
    given = reference.parse(name)
    return str(replace(given, digest=manifest.digest)) if given.digest else name
