"""Images for containers: found on this host by reference.

The one image that is made here is hello, from the host's static busybox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.host.images.loading import Loader
from agent.host.images.local import ImageMissing, Listed, LocalImages, Unpacked
from agent.registry import hello, reference
from agent.task.model import Image


class Images:
    """The images of one containerd namespace, as the rest of the agent knows them."""

    def __init__(self, client: Containerd, spool: Path) -> None:
        self._client = client
        self._local = LocalImages(client)
        self._loader = Loader(client, spool)
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
        return await self._local.image(name, record)

    async def unpacked(self, image_id: str) -> Unpacked:
        """What containers of the image with this config are made of. Raises ContainerdError."""
        return await self._local.unpacked(image_id)

    async def list(self) -> tuple[Listed, ...]:
        """All images, by name. Raises ContainerdError."""
        return await self._local.list()

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Imports an archive; see ``Loader``."""
        return await self._loader.load(chunks)

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
        await self._loader.load(_once(built))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
