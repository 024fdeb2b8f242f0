"""A registry, a puller and a shelf of images in memory, and a task that obtains its images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image as Record
from agent.host.images.arriving import transfer
from agent.host.images.fetching import Fetcher, Limits, Repository
from agent.host.images.local import ImageMissing
from agent.host.images.obtaining import ContainerImages, Images
from agent.host.images.policy import POLICIES
from agent.host.images.pulls import LayerProgress, LayerState, Pull, Pulls
from agent.host.images.records import PULLED_AT
from agent.host.images.stock.claims import Claims
from agent.registry import descriptor, hello, reference
from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError
from agent.registry.logins.login import Keyring, Login
from agent.registry.reference import Reference
from agent.task import images
from agent.task.images import Obtained
from agent.task.model import Image, Progress, Task, first_progress
from agent.task.records import Pin

HOST = "registry.test"
NAME = f"{HOST}/shop/web:1"
LIMITS = Limits(pull_s=7200.0, manifest_s=60.0)


def digest(version: int) -> str:
    return f"sha256:{version:064}"


def exactly(version: int, name: str = NAME) -> str:
    return f"{reference.parse(name).name}@{digest(version)}"


class Shelf(Images):
    """Images that are here: a version by each name, and the names that this agent pulled."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.pulled: set[str] = set()
        self.broken: set[str] = set()
        self.claims = self._claims = Claims()

    async def record(self, name: str) -> Record | None:
        if name not in self.versions:
            return None
        labels = {PULLED_AT: "1.0"} if name in self.pulled else {}
        return Record(name, Target(descriptor.MANIFEST, digest(self.versions[name]), 7), labels)

    async def image(self, name: str, record: Record) -> Image:
        if record.name in self.broken:
            raise ImageMissing(f"{record.name} is for another machine")
        return Image(name, "sha256:config", record.target.digest)

    async def find(self, text: str) -> Image:
        if text == hello.NAME:
            self.put(0, text)
        record = await self.record(text)
        if record is None:
            raise ImageMissing(f"no {text}")
        return await self.image(text, record)

    def put(self, version: int, name: str = NAME) -> None:
        """As if loaded from an archive."""
        self.versions[name] = version


@dataclass
class Keys:
    """A keyring of one container; fails with ``error``."""

    error: RegistryError | None = None

    async def login(self, host: str, repository: str) -> Login | None:
        if self.error is not None:
            raise self.error
        return None


@dataclass
class Rings:
    """Keyrings by container."""

    errors: dict[str, RegistryError] = field(default_factory=dict)

    def of(self, task: Task, container_name: str) -> Keyring:
        return Keys(self.errors.get(container_name))


@dataclass
class Registry:
    """Tags and what they mean now; ``errors`` are raised first, then ``error`` for ever."""

    tags: dict[str, int] = field(default_factory=dict)
    errors: list[RegistryError] = field(default_factory=list)
    error: RegistryError | None = None
    slow_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def repository(self, reference: Reference, keyring: Keyring) -> Repository:
        return _Repository(self, reference, keyring)

    def fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if self.error is not None:
            raise self.error


@dataclass
class _Repository:
    registry: Registry
    wanted: Reference
    keyring: Keyring

    async def resolve(self) -> Descriptor:
        self.registry.asked.append(str(self.wanted))
        await asyncio.sleep(self.registry.slow_s)
        await self.keyring.login(self.wanted.registry, self.wanted.repository)
        self.registry.fail()
        if self.wanted.digest:
            return Descriptor(descriptor.MANIFEST, self.wanted.digest, 7)
        name = str(self.wanted)
        if name not in self.registry.tags:
            raise RegistryError(f"{name} is not in its registry")
        return Descriptor(descriptor.MANIFEST, digest(self.registry.tags[name]), 7)

    async def manifest(self, descriptor: Descriptor, /) -> bytes:
        self.registry.fail()
        return b""

    def blob(self, descriptor: Descriptor, offset: int = 0, /) -> AsyncGenerator[bytes]:
        raise NotImplementedError


@dataclass
class Puller:
    """Asks for the manifest and puts the image on the shelf; or fails with ``error``."""

    shelf: Shelf
    error: Exception | None = None
    slow_s: float = 0.0
    running: asyncio.Event = field(default_factory=asyncio.Event)
    pulled: list[str] = field(default_factory=list)

    async def pull(
        self, repository: transfer.Repository, reference: Reference, target: Descriptor, pull: Pull
    ) -> None:
        self.running.set()
        try:
            await asyncio.sleep(self.slow_s)
            if self.error is not None:
                raise self.error
            await repository.manifest(target)
        finally:
            self.running.clear()
        self.pulled.append(f"{reference} {target.digest[-1]}")
        new = LayerProgress("sha256:new", 10, LayerState.DONE, 10, 1.0, 2.0)
        pull.layers = [LayerProgress("sha256:old", 20, LayerState.HERE, 20), new]
        version = int(target.digest.partition(":")[2])
        names = [exactly(version, f"{reference.name}:1")]
        if reference.digest is None:
            names.append(str(reference))
        for name in names:
            self.shelf.versions[name] = version
            self.shelf.pulled.add(name)


class World:
    """A task on a host with a shelf, which obtains images from the registry."""

    def __init__(self, made: Task, behavior: str = "default", limits: Limits = LIMITS) -> None:
        self.task = made
        self.progress: Progress = first_progress(made)
        self.shelf, self.rings, self.registry = Shelf(), Rings(), Registry({NAME: 1})
        self.puller, self.pulls = Puller(self.shelf), Pulls()
        self.fetcher = Fetcher(self.registry, self.puller, self.pulls, limits)
        self.images = ContainerImages(self.shelf, self.fetcher, self.rings, POLICIES[behavior])

    async def turn(self, name: str = "web") -> Obtained | Pin:
        """What one action gives; the task's progress has taken it in."""
        gave = await self.images.obtain(self.task, name, self.progress)
        self.hear(name, gave)
        return gave

    def hear(self, name: str, gave: Obtained | Pin) -> None:
        match gave:
            case Pin():
                self.progress = images.pinned(self.task, self.progress, name, gave, 0.0)
            case Obtained():
                self.progress = images.obtained(self.task, self.progress, name, gave, 0.0, 0.0)

    async def obtain(self, name: str = "web") -> Obtained:
        """The image, after as many actions as that takes."""
        while not isinstance(gave := await self.turn(name), Obtained):
            pass
        return gave
