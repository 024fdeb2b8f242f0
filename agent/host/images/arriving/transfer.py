"""Blobs from registries into containerd's content store, each once however many images have it.

A layer is checked as it comes. What is in the store already, from another image or namespace or
an earlier try, is not transferred; if nobody has checked it, it is read back for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypeVar, TypeVarTuple

from agent.containerd.client import Containerd
from agent.containerd.errors import FailedPrecondition
from agent.host.images.arriving.turns import Turns
from agent.host.images.pulls import LayerProgress, LayerState
from agent.host.images.records import LAYER_FACTS
from agent.host.images.retries import PULLING, pause_s
from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.layers.check import LayerCheck, LayerError, LayerFacts, is_plain

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
"""Checked and written at once: large enough that going to a thread for it costs little, small
enough that many transfers at once take little memory."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Repository(Protocol):
    """Where an image comes from, for one asker (``agent.registry.remote``)."""

    async def manifest(self, descriptor: Descriptor, /) -> bytes:
        """A manifest or index, as its digest says. Raises RegistryError."""

    def blob(self, descriptor: Descriptor, offset: int = 0, /) -> AsyncGenerator[bytes]:
        """A blob from ``offset`` on. Raises RegistryError."""


@dataclass(slots=True)
class Arrival:
    """A blob on its way into the content store under ``ref``; ``seen`` bytes went to ``check``."""

    ref: str
    check: LayerCheck | None = None
    seen: int = 0
    facts: LayerFacts | None = None


class Checking:
    """Threads for checks alone: layers made to be slow to check must not keep the rest of the
    agent from its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="layers")

    async def run(self, work: Callable[[*Given], T], *given: *Given) -> T:
        """What ``work`` gives for these, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def facts(self, check: LayerCheck, chunks: AsyncIterator[bytes]) -> LayerFacts:
        """What comes of all these bytes of a layer. Raises LayerError, and what ``chunks`` do."""
        async for chunk in chunks:
            await self.run(check.feed, chunk)
        return await self.run(check.finish)


@dataclass(frozen=True, slots=True)
class Transfers:
    """All transfers from one registry: as many at once as there are ``slots``, layers of ``limit``
    bytes at most when they are unpacked."""

    limit: int
    clock: Callable[[], float]
    slots: asyncio.Semaphore
    checking: Checking = field(default_factory=Checking)
    _turns: Turns = field(default_factory=Turns)
    _watched: dict[str, list[LayerProgress]] = field(default_factory=dict)

    def arrival(self, lease: str, layer: Descriptor) -> Arrival:
        """Where the transfer of a layer begins; kept over breaks by whoever has the lease."""
        return Arrival(f"{lease}-{layer.digest}", LayerCheck(layer.media_type, self.limit))

    async def layer(
        self,
        client: Containerd,
        repository: Repository,
        layer: Descriptor,
        arrival: Arrival,
        progress: LayerProgress,
    ) -> LayerFacts:
        """The layer is in the content store, held by the client's lease, and has been checked.

        Raises RegistryError; RegistryUnavailable; ContainerdError.
        """
        try:
            with self._watching(layer.digest, progress):
                async with self._turns.of(layer.digest):
                    await self._fetched(client, repository, layer, arrival)
                    return await self._facts(client, layer, arrival)
        except LayerError as error:
            raise LayerError(f"layer {layer.digest}: {error}") from error

    async def _fetched(
        self, client: Containerd, repository: Repository, layer: Descriptor, arrival: Arrival
    ) -> None:
        try:
            await self.blob(client, repository, layer, arrival)
        except LayerError as error:  # before its end, from which on its digest is known
            raise LayerError(f"{error}, or it was damaged on its way here") from error

    async def blob(
        self, client: Containerd, repository: Repository, blob: Descriptor, arrival: Arrival
    ) -> None:
        """The blob is in the content store, held by the client's lease. Raises as ``layer``."""
        async with AsyncExitStack() as closing:

            def source(offset: int) -> AsyncIterator[bytes]:
                chunks = self._arriving(repository, blob, arrival, offset)
                closing.push_async_callback(chunks.aclose)
                return chunks

            try:
                await client.content.resume(arrival.ref, source, size=blob.size, digest=blob.digest)
            except FailedPrecondition as error:
                text = f"what the registry sent for {blob.digest} does not have the digest"
                if not blob.digest.startswith("sha256:"):
                    text = f"{text}, or this containerd keeps nothing by such a digest"
                raise RegistryError(text) from error

    async def _arriving(
        self, repository: Repository, blob: Descriptor, arrival: Arrival, offset: int
    ) -> AsyncGenerator[bytes]:
        """The bytes from ``offset`` on, over breaks, after they have been checked."""
        if offset != arrival.seen:
            # The store has other bytes than were seen: see ``_facts``.
            arrival.check = arrival.facts = None
        delays = PULLING.delays()
        while offset < blob.size:
            began_at = offset
            try:
                async with self.slots, aclosing(_gathered(repository, blob, offset)) as chunks:
                    async for chunk in chunks:
                        arrival.seen += len(chunk)
                        await self.checking.run(_feed, arrival, chunk)
                        offset += len(chunk)
                        self._show(blob.digest, offset)
                        yield chunk
                break
            except RegistryUnavailable as error:
                if offset > began_at:
                    delays = PULLING.delays()
                delay_s = next(delays, None)
                if delay_s is None:
                    raise
                delay_s = pause_s(delay_s, error)
                log.info("%s: %s; next try in %.1f s", blob.digest, error, delay_s)
                await asyncio.sleep(delay_s)
        await self.checking.run(_finish, arrival)

    async def _facts(self, client: Containerd, layer: Descriptor, arrival: Arrival) -> LayerFacts:
        if arrival.facts is None:
            known = _noted(layer, (await client.content.info(layer.digest)).labels)
            if known is not None:
                return known
            arrival.facts = await self._read_back(client, layer)
        note = {"plain": is_plain(layer.media_type), "facts": asdict(arrival.facts)}
        labels = {LAYER_FACTS: json.dumps(note)}
        await client.content.set_labels(layer.digest, labels)
        return arrival.facts

    async def _read_back(self, client: Containerd, layer: Descriptor) -> LayerFacts:
        check = LayerCheck(layer.media_type, self.limit)
        async with aclosing(client.content.read_stream(layer.digest)) as chunks:
            return await self.checking.facts(check, chunks)

    @contextmanager
    def _watching(self, digest: str, progress: LayerProgress) -> Iterator[None]:
        """What comes of the blob is shown here too, whoever transfers it."""
        watched = self._watched.setdefault(digest, [])
        watched.append(progress)
        try:
            yield
            if progress.began_at is not None:
                progress.ended_at = self.clock()
            progress.state, progress.done = LayerState.DOWNLOADED, progress.size
        finally:
            watched[:] = [each for each in watched if each is not progress]
            if not watched:
                del self._watched[digest]

    def _show(self, digest: str, done: int) -> None:
        for each in self._watched.get(digest, ()):
            if each.began_at is None:
                each.began_at = self.clock()
            each.state, each.done = LayerState.DOWNLOADING, done


def _feed(arrival: Arrival, chunk: bytes) -> None:
    if (check := arrival.check) is not None:
        check.feed(chunk)


def _finish(arrival: Arrival) -> None:
    if (check := arrival.check) is not None:
        arrival.facts = check.finish()
        arrival.check = None


async def _gathered(repository: Repository, blob: Descriptor, offset: int) -> AsyncGenerator[bytes]:
    """The same bytes in larger pieces. What has come before a break is given before it."""
    gathered = bytearray()
    try:
        async with aclosing(repository.blob(blob, offset)) as chunks:
            async for chunk in chunks:
                gathered += chunk
                if len(gathered) >= CHUNK_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
    except RegistryUnavailable:
        if gathered:
            yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)


def _noted(layer: Descriptor, labels: Mapping[str, str]) -> LayerFacts | None:
    """What an earlier check found; None if there was none, or one of another version, or if the
    bytes were read in another way then."""
    try:
        match json.loads(labels.get(LAYER_FACTS, "")):
            case {"plain": plain, "facts": dict(facts)} if plain is is_plain(layer.media_type):
                return LayerFacts(**facts)
            case _:
                return None
    except (ValueError, TypeError):
        return None
