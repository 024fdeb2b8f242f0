"""Images for containers: which one each gets, and the images that are here.

The one image that is made here is hello, from the host's static busybox; no registry is asked for
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image as Record
from agent.host.images.fetching import Fetcher, PullFailed
from agent.host.images.loading import Loader
from agent.host.images.local import ImageMissing, LocalImages, Unpacked
from agent.host.images.policy import Policy
from agent.host.images.records import PULLED_AT
from agent.host.images.stock.claims import Claims
from agent.registry import hello, reference
from agent.registry.descriptor import Descriptor
from agent.registry.logins.login import Keyring
from agent.registry.reference import Reference
from agent.task import images
from agent.task.images import Obtained
from agent.task.model import Image, Progress, Task
from agent.task.records import Pin

LACKING = "is not on this host: load it with 'hostler image load FILE'"

_OURS = reference.parse(hello.NAME).name
"""Nobody else's images are called that."""


class Images:
    """The images of one containerd namespace, as the rest of the agent knows them."""

    def __init__(self, client: Containerd, spool: Path, claims: Claims, layer_limit: int) -> None:
        self._client = client
        self._claims = claims
        self._local = LocalImages(client)
        self._loader = Loader(client, spool, layer_limit)
        self._building = asyncio.Lock()

    async def find(self, text: str) -> Image:
        """The image that ``text`` (ECS ``image``) means. Raises ImageMissing, ContainerdError."""
        name = str(_parsed(text))
        record = await self.record(name)
        if record is None and name == hello.NAME:
            await self._ensure_hello()
            record = await self.record(name)
        if record is None:
            raise ImageMissing(f"image {name} {LACKING}")
        return await self.image(name, record)

    async def record(self, name: str) -> Record | None:
        """The record of that canonical name; None: there is none. Raises ContainerdError.

        One that is being removed is none: that is waited for. Afterwards a task's need protects it.
        Nor is one of another digest than its name has, whoever made it.
        """
        async with self._claims.on(name):
            with suppress(NotFound):
                found = await self._client.images.get(name)
                return found if _fits(name, found) else None
        return None

    def kept(self, *parts: str) -> AbstractAsyncContextManager[None]:
        """Images with these names or digests are not removed meanwhile."""
        return self._claims.on(*parts)

    async def image(self, name: str, record: Record) -> Image:
        """The image of that record, called ``name``. Raises ImageMissing, ContainerdError."""
        return await self._local.image(name, record)

    async def unpacked(self, image_id: str) -> Unpacked:
        """What containers of the image with this config are made of. Raises ContainerdError."""
        return await self._local.unpacked(image_id)

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Imports an archive; see ``Loader``."""
        return await self._loader.load(chunks)

    async def sweep(self) -> None:
        """What loads of an earlier agent left is gone; see ``Loader``."""
        await self._loader.sweep()

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


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one container wants: the version with ``digest``, or any if that is empty.

    ``here`` is that image if it is on this host; ``spare``: the one that may be used instead.
    """

    wanted: Reference
    digest: str
    pin: Pin | None
    here: Record | None
    spare: Record | None


class Keyrings(Protocol):
    """Who has which logins (``host.keyring``)."""

    def of(self, task: Task, container_name: str) -> Keyring:
        """The logins for the container's image."""


class ContainerImages:
    """The images that containers get, by the agent's pull behaviour."""

    def __init__(self, here: Images, fetcher: Fetcher, keyrings: Keyrings, policy: Policy) -> None:
        self._here = here
        self._fetcher = fetcher
        self._keyrings = keyrings
        self._policy = policy

    async def obtain(self, task: Task, container_name: str, progress: Progress) -> Obtained | Pin:
        """The image of the container, or its version if that must be pulled and has no pin yet.

        Raises ImageMissing, PullFailed, ContainerdError.
        """
        wanted = _parsed(task.container(container_name).image)
        if wanted.name == _OURS:
            return Obtained(await self._here.find(str(wanted)))
        wish = await self._wish(wanted, task, container_name, progress)
        if wish.here is not None and not self._must_ask(wish.here):
            return Obtained(await self._here.image(str(wanted), wish.here))
        try:
            return await self._asked(wish, self._keyrings.of(task, container_name))
        except PullFailed as error:
            return await self._instead(wish, error)

    async def _wish(
        self, wanted: Reference, task: Task, container_name: str, progress: Progress
    ) -> _Wish:
        digest = wanted.digest or images.version(task, progress, container_name)
        here = await self._record(wanted, digest)
        spare = None
        if self._policy.falls_back:
            # What others of the task have is all that will do; a pin binds nobody yet.
            bound = wanted.digest or images.settled(task, progress, container_name)
            spare = here if bound == digest else await self._record(wanted, bound)
        return _Wish(wanted, digest, progress.containers[container_name].pin, here, spare)

    def _must_ask(self, here: Record) -> bool:
        return self._policy.must_ask(pulled=PULLED_AT in here.labels)

    async def _asked(self, wish: _Wish, keyring: Keyring) -> Obtained | Pin:
        """As ``obtain``, from the registry."""
        wanted, pin = wish.wanted, wish.pin
        if pin is not None and pin.digest == wish.digest and pin.media_type:
            target = Descriptor(pin.media_type, pin.digest, pin.size)
        else:
            wanted = _exactly(wanted, wish.digest) if wish.digest else wanted
            spare = wish.spare is not None
            target = await self._fetcher.resolve(wanted, keyring, spare=spare)
        async with self._here.kept(target.digest):  # what was told just now nobody knows to need
            if pin is None and not await self._known(wanted, target, wish.here):
                return Pin(target.digest, target.media_type, target.size)
            layers = await self._fetcher.pull(wanted, target, keyring)
            kept = Record("", Target(target.media_type, target.digest, target.size))
            image = await self._here.image(str(wish.wanted), kept)
        return Obtained(image, pulled=True, layers=layers)

    async def _instead(self, wish: _Wish, error: PullFailed) -> Obtained:
        """What will do where the registry failed. Raises PullFailed, ContainerdError."""
        if wish.spare is not None:
            with suppress(ImageMissing):
                image = await self._here.image(str(wish.wanted), wish.spare)
                note = f"the image on this host, as {error}"
                failure = f"{error.name}: {_naming(wish.wanted, error)}"
                return Obtained(image, note=note, failure=failure)
        text = _naming(wish.wanted, error)
        if await self._record(wish.wanted, wish.wanted.digest or "") is None:
            text = f"{text}; the image {LACKING}"
        raise PullFailed(error.name, text) from error

    async def _known(self, wanted: Reference, target: Descriptor, here: Record | None) -> bool:
        """Whether the version is here, under whichever name, so that nothing has to come."""
        if here is not None and here.target.digest == target.digest:
            return True
        return await self._here.record(str(_exactly(wanted, target.digest))) is not None

    async def _record(self, wanted: Reference, digest: str) -> Record | None:
        """What is here by the name, or of the version with that digest if it is not empty."""
        named = await self._here.record(str(replace(wanted, digest=None))) if wanted.tag else None
        if not digest or (named is not None and named.target.digest == digest):
            return named
        return await self._here.record(str(_exactly(wanted, digest)))


def _parsed(text: str) -> Reference:
    """Raises ImageMissing."""
    try:
        return reference.parse(text)
    except reference.InvalidReference as error:
        raise ImageMissing(str(error)) from error


def _fits(name: str, record: Record) -> bool:
    _, at, digest = name.partition("@")
    return not at or digest == record.target.digest


def _naming(wanted: Reference, error: PullFailed) -> str:
    """Why there is no image, for whoever sees no more than that."""
    why = str(error)
    return why if str(wanted) in why else f"image {wanted}: {why}"


def _exactly(wanted: Reference, digest: str) -> Reference:
    return replace(wanted, tag=None, digest=digest)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
