"""What calls about images work with, and how images are named in them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.doors.errors import InvalidParameter
from agent.host.images.local import ImageMissing
from agent.host.images.pulls import Pulls
from agent.host.images.stock.cleaning import Facts
from agent.host.images.stock.inventory import Contents, pick
from agent.host.images.stock.retention import Decision, Disk, Needed, Stored
from agent.registry import reference
from agent.task.model import Image

Json = dict[str, Any]


class Shelves(Protocol):
    """Who knows what images there are (``host.images.stock.inventory.Inventory``)."""

    async def images(self) -> tuple[Stored, ...]:
        """All images. Raises ContainerdError."""

    async def contents(self, image: Stored) -> Contents:
        """What the image is made of. Raises ImageMissing, ContainerdError."""


class Cleans(Protocol):
    """Who removes images (``host.images.stock.cleaning.Cleaner``). All raise ContainerdError."""

    @property
    def needed(self) -> Callable[[], Needed]:
        """Gives what tasks refer to now."""

    async def facts(self) -> Facts:
        """Images, and what their pieces weigh."""

    async def disk(self) -> Disk:
        """The file system of images. Raises OSError."""

    async def due(self, disk: Disk) -> tuple[Decision, ...]:
        """What the agent's own clean-up would do now."""

    async def unneeded(self, older_than_s: float) -> tuple[Decision, ...]:
        """What goes when all goes that nobody needs."""

    async def carry_out(self, decisions: Collection[Decision]) -> tuple[Decision, ...]:
        """Removes what is to go; gives the decisions as they came out."""

    async def remove(self, image: Stored, names: tuple[str, ...]) -> None:
        """These names are gone. Raises Claimed."""


class Loads(Protocol):
    """Who takes images from archives (``host.images.loading.Loader``)."""

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """The names of the images of an archive. Raises LoadError, ContainerdError."""


class Fetches(Protocol):
    """Who brings images from registries (``host.images.byhand.HandPuller``)."""

    async def pull(self, name: str) -> Image:
        """The image as it is now. Raises ImageMissing, PullFailed, ContainerdError."""


class Saves(Protocol):
    """Who gives images out (``host.images.saving.Saver``)."""

    async def archive(self, images: Mapping[str, Stored]) -> AsyncGenerator[bytes]:
        """An archive of images by name. Raises ImageMissing, ContainerdError, then and later."""


@dataclass(frozen=True, slots=True)
class ImageRoom:
    """What these calls work with."""

    shelves: Shelves
    cleaner: Cleans
    loader: Loads
    puller: Fetches
    saver: Saves
    pulls: Pulls


def picked(images: tuple[Stored, ...], text: str) -> Stored:
    """The image that was asked for. Raises InvalidParameter."""
    try:
        return pick(images, text)
    except ImageMissing as error:
        raise InvalidParameter(str(error)) from error


def canonical(text: str) -> str:
    """The whole name of an image. Raises InvalidParameter."""
    try:
        return str(reference.parse(text))
    except reference.InvalidReference as error:
        raise InvalidParameter(str(error)) from error
