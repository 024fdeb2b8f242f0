"""The images of a host, in memory: for the calls that list, move and remove them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from dataclasses import replace

from agent.containerd.errors import NotFound, Unavailable
from agent.doors.images.room import ImageRoom
from agent.host.images.fetching import PullFailed
from agent.host.images.loading import LoadError
from agent.host.images.local import ImageMissing
from agent.host.images.pulls import LayerProgress, LayerState, Pulls
from agent.host.images.stock import retention
from agent.host.images.stock.claims import Claimed
from agent.host.images.stock.cleaning import Facts
from agent.host.images.stock.inventory import Contents
from agent.host.images.stock.retention import Decision, Disk, Needed, Rules, Stored
from agent.oci.image import ImageConfig
from agent.registry.descriptor import LAYER_GZIP, Descriptor
from agent.registry.descriptor import Image as Parts
from agent.task.model import Image

NOW = 1_700_000_000.0
CONFIG = ImageConfig(
    cmd=("/run",),
    env=("A=b",),
    labels={"by": "us"},
    os="linux",
    architecture="arm",
    variant="v7",
    health_check={"Test": ["CMD", "/check"]},
)


class FakeImages:
    """All that an ``ImageRoom`` needs, over images in memory.

    An archive is its names, one a line; ``away`` is containerd. A pull of ``slow`` goes on until it
    is cancelled, one of ``bad`` fails; ``claimed`` is in use by work that is under way.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.away = False
        self.stored: dict[str, Stored] = {}
        self.tasks: Needed = {}
        self.removed: list[tuple[str, ...]] = []
        self.claimed = ""
        self.unreadable = ""
        self.full = Disk(10, 90)
        self.pulls = Pulls()
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()

    @property
    def room(self) -> ImageRoom:
        return ImageRoom(self, self, self, self, self, self.pulls)

    def keep(self, *names: str, **facts: object) -> Stored:
        """An image of this name that was pulled a day ago."""
        digest = f"sha256:{len(self.stored):064}"
        made = Stored(
            digest, "sha256:id", names, size=7, pulled_at=NOW - 86400, pieces=frozenset({digest})
        )
        self.stored[names[0]] = replace(made, **facts)  # type: ignore[arg-type]
        return self.stored[names[0]]

    async def images(self) -> tuple[Stored, ...]:
        if self.away:
            raise Unavailable("Images.List(): connection refused")
        made = (Stored(f"sha256:{each}", "sha256:1", (each,), size=3) for each in self.loaded)
        return (*self.stored.values(), *made)

    async def contents(self, image: Stored) -> Contents:
        if self.unreadable in image.names:
            raise ImageMissing(f"image {self.unreadable} can't be read: no such blob")
        blob = Descriptor(LAYER_GZIP, "sha256:" + "f" * 64, 7)
        return Contents(Parts(image.names, blob, blob, (blob,)), CONFIG)

    def needed(self) -> Needed:
        return self.tasks

    async def facts(self) -> Facts:
        images = await self.images()
        return Facts(images, {each.digest: 100 for each in images})

    async def disk(self) -> Disk:
        return self.full

    async def due(self, disk: Disk) -> tuple[Decision, ...]:
        facts = await self.facts()
        return retention.cycle(facts.images, facts.weights, self.tasks, Rules(), NOW, disk)

    async def unneeded(self, older_than_s: float) -> tuple[Decision, ...]:
        facts = await self.facts()
        none = frozenset[str]()
        return retention.prune(facts.images, facts.weights, self.tasks, none, NOW, older_than_s)

    async def carry_out(self, decisions: Collection[Decision]) -> tuple[Decision, ...]:
        for each in decisions:
            if each.removed:
                await self.remove(each.image, each.image.names)
        return tuple(decisions)

    async def remove(self, image: Stored, names: tuple[str, ...]) -> None:
        if self.claimed in names:
            raise Claimed
        self.removed.append(names)
        self.stored = {key: each for key, each in self.stored.items() if each.names != names}

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        archive = b"".join([each async for each in chunks])
        if not archive:
            raise LoadError("the archive is empty")
        self.loaded += archive.decode().split()
        return tuple(self.loaded)

    async def pull(self, name: str) -> Image:
        self.began.set()
        with self.pulls.begin(name) as pull:
            pull.layers = [LayerProgress("sha256:1", 10, LayerState.DOWNLOADING, 5)]
            if "slow" in name:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            if "bad" in name:
                raise PullFailed("CannotPullContainerError", f"{name}: not found")
            if self.away:
                raise Unavailable("Leases.Create(): connection refused")
            await asyncio.sleep(0)  # it is seen before it ends
            pull.layers[0].state = LayerState.DONE
        return Image(name, "sha256:id", "sha256:digest")

    async def archive(self, images: Mapping[str, Stored]) -> AsyncGenerator[bytes]:
        for name, each in images.items():
            if self.unreadable in each.names:
                raise ImageMissing(f"image {name} can't be read")
        return self._archive(images)

    async def _archive(self, images: Mapping[str, Stored]) -> AsyncGenerator[bytes]:
        for name, each in images.items():
            yield name.encode()
            if self.claimed in each.names:
                raise NotFound("Content.Read(): no such blob")
