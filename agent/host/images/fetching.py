"""Images from registries: resolved and pulled with patience; failures have ECS's names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent.containerd.errors import ContainerdError, Unavailable
from agent.host.images.arriving import transfer
from agent.host.images.pulls import LayerState, Pull, Pulls
from agent.host.images.retries import PULLING, RESOLVING, Patience
from agent.printable import printable
from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import ecr
from agent.registry.logins.login import Keyring, Login
from agent.registry.reference import Reference
from agent.task.images import Layer

T = TypeVar("T")


_ECR_FAILED = "CannotPullECRContainerError"


class PullFailed(Exception):
    """An image can't be had. ``name`` is ECS's for such an error; the text says why, and is made
    printable as registries and task definitions speak in it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(printable(text))
        self.name = name


class Repository(transfer.Repository, Protocol):
    """Where one image comes from, for one asker."""

    async def resolve(self) -> Descriptor:
        """What the reference means now. Raises RegistryError; RegistryUnavailable."""


class Registries(Protocol):
    """All registries (``registry.remote``)."""

    def repository(self, reference: Reference, keyring: Keyring) -> Repository:
        """Where the image is asked for with the logins of ``keyring``."""


class Puller(Protocol):
    """Who transfers images (``host.images.arriving.pulling``)."""

    async def pull(
        self, repository: transfer.Repository, reference: Reference, target: Descriptor, pull: Pull
    ) -> None:
        """The image is here, unpacked, by its reference and by its digest.

        Breaks of single blobs are bridged. Raises RegistryError; RegistryUnavailable;
        ContainerdError.
        """


class _Watched:
    """A keyring that remembers how it failed: ECS has names of their own for that."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.failure = ""

    async def login(self, host: str, repository: str) -> Login | None:
        try:
            return await self._keyring.login(host, repository)
        except RegistryError:
            self.failure = _ECR_FAILED if ecr.registry(host) else "CannotPullContainerAuthError"
            raise

    def worthwhile(self) -> bool:
        """Whether another try may end better: ECR is not asked for a login again."""
        return self.failure != _ECR_FAILED


@dataclass(frozen=True, slots=True)
class _Patient:
    """A repository whose manifests are asked for again and again."""

    repository: Repository
    patience: Patience

    async def manifest(self, descriptor: Descriptor, /) -> bytes:
        return await self.patience.outcome(lambda: self.repository.manifest(descriptor))

    def blob(self, descriptor: Descriptor, offset: int = 0, /) -> AsyncGenerator[bytes]:
        return self.repository.blob(descriptor, offset)


@dataclass(frozen=True, slots=True)
class Limits:
    """Longest times, in seconds: of a whole pull, of one look for a digest."""

    pull_s: float
    manifest_s: float


class Fetcher:
    """Asks registries for images, on behalf of whoever has the keyring."""

    def __init__(
        self, registries: Registries, puller: Puller, pulls: Pulls, limits: Limits
    ) -> None:
        self._registries = registries
        self._puller = puller
        self._pulls = pulls
        self._limits = limits

    async def resolve(self, asked: Reference, keyring: Keyring, *, spare: bool) -> Descriptor:
        """What the reference means now. Raises PullFailed.

        With a ``spare`` at hand, that is an image to use instead, all tries share the time of one.
        """
        watched, limits = _Watched(keyring), self._limits
        repository = self._registries.repository(asked, watched)

        async def attempt() -> Descriptor:
            return await _within(limits.manifest_s, f"the registry of {asked}", repository.resolve)

        tag = asked.digest is None
        patience = Patience(str(asked), RESOLVING if tag else PULLING, watched.worthwhile)
        name = "CannotPullImageManifestError" if tag else "CannotPullContainerError"
        limit_s = limits.manifest_s if spare else limits.pull_s
        async with _named(name, limit_s, watched, patience):
            return await patience.outcome(attempt)

    async def pull(
        self, wanted: Reference, target: Descriptor, keyring: Keyring
    ) -> tuple[Layer, ...]:
        """The image is here; gives the layers that had to be transferred for it.

        Raises PullFailed, also for what containerd can't do, such as on a full disk; Unavailable if
        it is containerd that is away.
        """
        watched = _Watched(keyring)
        patience = Patience(str(wanted), PULLING, watched.worthwhile)
        repository = _Patient(self._registries.repository(wanted, watched), patience)
        async with _named("CannotPullContainerError", self._limits.pull_s, watched, patience):
            with self._pulls.begin(str(wanted)) as pull:
                await self._puller.pull(repository, wanted, target, pull)
            return _transferred(pull)


@asynccontextmanager
async def _named(
    name: str, limit_s: float, keyring: _Watched, patience: Patience
) -> AsyncIterator[None]:
    """Failures are PullFailed: under ``name``, unless the time is over or the keyring failed."""
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            yield
    except RegistryError as error:
        raise PullFailed(keyring.failure or name, str(error)) from error
    except Unavailable:
        raise
    except ContainerdError as error:
        raise PullFailed(name, error.said) from error
    except TimeoutError as error:
        if not limit.expired():
            raise
        why = f": {patience.last}" if patience.last else ""
        text = f"it could not be pulled within {limit_s:g} s{why}"
        raise PullFailed("DockerTimeoutError", text) from error


async def _within(limit_s: float, who: str, work: Callable[[], Awaitable[T]]) -> T:
    """Raises RegistryUnavailable after ``limit_s``, and what ``work`` raises."""
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise RegistryUnavailable(f"{who} did not answer within {limit_s:g} s") from error


def _transferred(pull: Pull) -> tuple[Layer, ...]:
    return tuple(
        Layer(each.digest, each.size, each.began_at, each.ended_at)
        for each in pull.layers
        if each.state is LayerState.DONE and each.began_at is not None and each.ended_at is not None
    )
