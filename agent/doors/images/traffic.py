"""Images that come and go: loaded from archives, pulled from registries, saved to archives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from agent.containerd.errors import ContainerdError
from agent.doors.errors import ApiError, InvalidParameter, ServerFailure
from agent.doors.images.room import Fetches, ImageRoom, Json, canonical, picked
from agent.doors.pulls import shown
from agent.host.images.arriving.together import together
from agent.host.images.fetching import PullFailed
from agent.host.images.loading import LoadError
from agent.host.images.local import ImageMissing
from agent.host.images.pulls import Pull, Pulls
from agent.host.images.stock.retention import Stored

log = logging.getLogger(__name__)

Tell = Callable[[Json], Awaitable[None]]

TICK_S = 0.25
"""How often the progress of a pull is told."""


async def load_image(room: ImageRoom, archive: AsyncIterator[bytes]) -> Json:
    """Loads an OCI or Docker archive; gives the names of its images."""
    try:
        return {"images": list(await room.loader.load(archive))}
    except LoadError as error:
        raise ApiError(str(error)) from error


async def pull_image(room: ImageRoom, name: str, tell: Tell) -> None:
    """Pulls the image and tells how far it has come, and in the end what came of it.

    Cancelled when nobody listens any more, which ``tell`` raises as ConnectionError.
    """
    watch, over, outcome = _Watch(room.pulls, name), asyncio.Event(), dict[str, Any]()

    async def pull() -> None:
        outcome.update(await _pulled(room.puller, name))
        over.set()

    try:
        await together((pull(), _tell(watch, tell, over)))
        await tell(outcome)
    except ConnectionError:
        log.debug("who asked for image %s went away", name)


async def save_images(room: ImageRoom, names: Collection[str]) -> AsyncGenerator[bytes]:
    """An archive of the images of these names. Raises ApiError."""
    images = await room.shelves.images()
    chosen = ((each, picked(images, each)) for each in names)
    wanted = {name: image for text, image in chosen for name in _saved_as(image, text)}
    if not wanted:
        raise InvalidParameter("name: the images to save")
    try:
        return await room.saver.archive(wanted)
    except ImageMissing as error:
        raise ServerFailure(str(error)) from error


@dataclass(slots=True)
class _Watch:
    """A pull as it was seen last: its end is seen even though it is not shown any more."""

    pulls: Pulls
    name: str
    last: tuple[Pull, ...] = ()

    def seen(self) -> Json:
        self.last = self.pulls.of(self.name) or self.last
        return {"pulls": shown(self.last)}


async def _tell(watch: _Watch, tell: Tell, over: asyncio.Event) -> None:
    while not over.is_set():
        await tell(watch.seen())
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await over.wait()
    await tell(watch.seen())


async def _pulled(puller: Fetches, name: str) -> Json:
    try:
        return {"image": asdict(await puller.pull(name))}
    except PullFailed as error:
        return {"__type": error.name, "message": str(error)}
    except ImageMissing as error:
        return ApiError(str(error)).document
    except (ContainerdError, OSError) as error:
        return ServerFailure(str(error)).document


def _saved_as(image: Stored, text: str) -> tuple[str, ...]:
    """By a digest or an id an image is saved under all its tags."""
    if text.startswith("sha256:"):
        return image.tags or image.names
    return (canonical(text),)
