"""Transfers of blobs: patience, limits, checks; time is simulated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any, cast

import looptime
import pytest

from agent.containerd.client import Containerd
from agent.containerd.content import Content, Source
from agent.containerd.errors import FailedPrecondition
from agent.containerd.types import ContentInfo
from agent.host.images.arriving.transfer import Transfers
from agent.host.images.pulls import LayerProgress, LayerState
from agent.host.images.records import LAYER_FACTS
from agent.registry.descriptor import LAYER, Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.layers.check import LayerError, LayerFacts
from tests.fakes.repository import FakeRepository
from tests.system.layerlab import Noise, directory, file, layer, two_faced

BLOB = layer(directory("d"), file("d/f", Noise(3_000_000)), compression="").blob()
DATA, DIGEST = BLOB.data, BLOB.descriptor.digest
FIRST, SECOND, THIRD, FOURTH = 1.1, 2.2, 4.4, 5.0


class Store(Content):
    """A content store in memory; writes by ref are kept until they are complete."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.writes: dict[str, bytes] = {}
        self.read_back: list[str] = []

    async def resume(
        self, ref: str, source: Source, *, size: int, digest: str, stall: float = 0
    ) -> None:
        if digest in self.blobs:
            return
        async for chunk in source(len(self.writes.setdefault(ref, b""))):
            self.writes[ref] += chunk
        data = self.writes.pop(ref)
        if digest != f"sha256:{hashlib.sha256(data).hexdigest()}" or size != len(data):
            raise FailedPrecondition("unexpected commit digest")
        self.blobs[digest] = data

    async def info(self, digest: str, *, timeout: float = 0) -> ContentInfo:
        return ContentInfo(digest, len(self.blobs[digest]), self.labels.get(digest, {}))

    async def set_labels(
        self, digest: str, labels: Mapping[str, str], *, timeout: float = 0
    ) -> ContentInfo:
        self.labels.setdefault(digest, {}).update(labels)
        return await self.info(digest)

    async def read_stream(
        self, digest: str, *, offset: int = 0, stall: float = 0
    ) -> AsyncGenerator[bytes]:
        self.read_back.append(digest)
        for at in range(offset, len(self.blobs[digest]), 100_000):
            yield self.blobs[digest][at : at + 100_000]


class World:
    """A store, a repository with one layer, and a clock that jumps."""

    def __init__(self, parallel: int = 6, limit: int = 1 << 30) -> None:
        self.store = Store()
        self.client = cast(Containerd, SimpleNamespace(content=self.store))
        self.repository = FakeRepository({DIGEST: DATA})
        self.transfers = Transfers(limit, self.now, asyncio.Semaphore(parallel))
        self.progress = LayerProgress(DIGEST, len(DATA))

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def fetch(
        self, blob: Descriptor = BLOB.descriptor, progress: LayerProgress | None = None
    ) -> LayerFacts:
        arrival = self.transfers.arrival("lease", blob)
        return await self.transfers.layer(
            self.client, self.repository, blob, arrival, progress or self.progress
        )


def play(scene: Coroutine[Any, Any, float]) -> float:
    """Runs it with a simulated clock; gives what it does."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(scene)


def test_a_layer_comes_and_what_it_is_like_is_noted() -> None:
    async def scene() -> float:
        world = World()
        facts = await world.fetch()
        assert facts == LayerFacts(len(DATA), self_contained=True, whiteouts=False)
        assert world.store.blobs == {DIGEST: DATA}
        assert LAYER_FACTS in world.store.labels[DIGEST]
        assert world.store.read_back == []
        assert world.progress.state is LayerState.DOWNLOADED
        return world.now()

    assert play(scene()) == 0


def test_a_break_is_followed_by_waits_that_grow() -> None:
    async def scene() -> float:
        world = World()
        world.repository.cuts[DIGEST] = [0, 0, 0, 0]
        await world.fetch()
        assert world.repository.offsets(DIGEST) == [0] * 5
        return world.now()

    least = FIRST + SECOND + THIRD + FOURTH
    assert least <= play(scene()) <= least * 1.2


def test_after_five_tries_in_vain_it_is_unavailable() -> None:
    async def scene() -> float:
        world = World()
        world.repository.cuts[DIGEST] = [0] * 9
        with pytest.raises(RegistryUnavailable, match="broke"):
            await world.fetch()
        assert world.repository.offsets(DIGEST) == [0] * 5
        assert world.repository.open == 0
        return world.now()

    assert play(scene()) > 0


def test_whoever_gets_on_may_go_on_for_ever() -> None:
    async def scene() -> float:
        world = World()
        world.repository.cuts[DIGEST] = [1000] * 40
        await world.fetch()
        assert world.repository.offsets(DIGEST) == [1000 * number for number in range(41)]
        assert world.store.read_back == []
        return world.now()

    assert 40 * FIRST <= play(scene()) <= 40 * FIRST * 1.2


@pytest.mark.parametrize(("told", "waits"), [(30.0, 30.0), (3600.0, 60.0), (0.1, FIRST)])
def test_a_registry_may_say_when_to_come_again(told: float, waits: float) -> None:
    async def scene() -> float:
        world = World()
        world.repository.retry_after_s = told
        world.repository.cuts[DIGEST] = [0]
        await world.fetch()
        return world.now()

    assert waits <= play(scene()) <= waits * 1.2


def test_what_is_wrong_for_good_is_not_tried_again() -> None:
    async def scene() -> float:
        world = World()
        world.repository.errors[DIGEST] = RegistryError("denied")
        with pytest.raises(RegistryError, match="denied"):
            await world.fetch()
        assert len(world.repository.asked) == 1
        return world.now()

    assert play(scene()) == 0


def test_so_many_come_at_once_and_who_waits_to_try_again_takes_no_place() -> None:
    async def scene() -> float:
        world = World(parallel=2)
        blobs = [layer(directory(f"d{n}"), compression="").blob() for n in range(8)]
        world.repository.blobs = {each.descriptor.digest: each.data for each in blobs}
        for each in blobs[:2]:
            world.repository.cuts[each.descriptor.digest] = [0]
        finished: list[float] = []

        async def one(blob: Descriptor) -> None:
            await world.fetch(blob, LayerProgress(blob.digest, blob.size))
            finished.append(world.now())

        await asyncio.gather(*(one(each.descriptor) for each in blobs))
        assert world.repository.most == 2
        assert finished[:6] == [0] * 6
        assert min(finished[6:]) >= FIRST
        return world.now()

    assert play(scene()) <= FIRST * 1.2


def test_two_who_need_the_same_transfer_it_once_and_both_see_it() -> None:
    async def scene() -> float:
        world = World()
        other = LayerProgress(DIGEST, len(DATA))
        world.repository.held[DIGEST] = asyncio.Event()

        async def look() -> None:
            await world.repository.reached.wait()
            assert 0 < world.progress.done == other.done < len(DATA)
            assert other.state is LayerState.DOWNLOADING
            world.repository.held[DIGEST].set()

        await asyncio.gather(world.fetch(), world.fetch(progress=other), look())
        assert world.repository.offsets(DIGEST) == [0]
        assert world.store.read_back == []
        for each in (world.progress, other):
            assert (each.state, each.done) == (LayerState.DOWNLOADED, len(DATA))
            assert each.began_at is not None
            assert each.ended_at is not None
        return 0

    play(scene())


def test_one_whose_registry_fails_does_not_fail_the_other() -> None:
    async def scene() -> float:
        world = World()
        world.repository.held[DIGEST] = asyncio.Event()
        failing = world.fetch()

        async def another() -> LayerFacts:
            await world.repository.reached.wait()
            mine = FakeRepository({DIGEST: DATA})
            arrival = world.transfers.arrival("other", BLOB.descriptor)
            progress = LayerProgress(DIGEST, len(DATA))
            world.repository.errors[DIGEST] = RegistryError("gone")
            world.repository.cuts[DIGEST] = [0]
            asyncio.get_running_loop().call_later(1, world.repository.held[DIGEST].set)
            return await world.transfers.layer(
                world.client, mine, BLOB.descriptor, arrival, progress
            )

        world.repository.cuts[DIGEST] = [1_000_000]
        first, second = await asyncio.gather(failing, another(), return_exceptions=True)
        assert isinstance(first, RegistryError)
        assert isinstance(second, LayerFacts)
        return 0

    play(scene())


def test_what_is_there_and_has_been_checked_is_not_looked_at_again() -> None:
    async def scene() -> float:
        world = World()
        await world.fetch()
        again = LayerProgress(DIGEST, len(DATA))
        facts = await world.fetch(progress=again)
        assert facts.self_contained
        assert world.store.read_back == []
        assert again.began_at is None
        assert again.done == len(DATA)
        return 0

    play(scene())


@pytest.mark.parametrize("label", [None, "", "nonsense", "{}", '{"unpacked_size": 5}', "[]"])
def test_what_is_there_and_has_not_been_checked_is(label: str | None) -> None:
    async def scene() -> float:
        world = World()
        world.store.blobs[DIGEST] = DATA
        world.store.labels[DIGEST] = {} if label is None else {LAYER_FACTS: label}
        assert (await world.fetch()).unpacked_size == len(DATA)
        assert world.store.read_back == [DIGEST]
        assert world.repository.asked == []
        return 0

    play(scene())


def test_bytes_that_can_be_read_in_two_ways_are_looked_at_twice() -> None:
    async def scene() -> float:
        world = World(limit=1_000_000)
        plain, packed = two_faced(bytes(2_000_000))
        assert plain.descriptor.digest == packed.descriptor.digest
        world.repository = FakeRepository({plain.descriptor.digest: plain.data})
        assert (await world.fetch(plain.descriptor)).unpacked_size == len(plain.data)
        with pytest.raises(LayerError, match="more than 1000000 bytes when unpacked"):
            await world.fetch(packed.descriptor)
        return 0

    play(scene())


def test_bytes_that_somebody_else_wrote_are_read_back() -> None:
    """As when the one who wrote them was cancelled in the middle of a piece."""

    async def scene() -> float:
        world = World()
        world.store.writes[f"lease-{DIGEST}"] = DATA[:70_000]
        assert (await world.fetch()).self_contained
        assert world.repository.offsets(DIGEST) == [70_000]
        assert world.store.read_back == [DIGEST]
        return 0

    play(scene())


def test_too_large_a_layer_ends_its_transfer_and_is_named() -> None:
    async def scene() -> float:
        world = World(limit=1_000_000)
        with pytest.raises(LayerError, match=f"layer {DIGEST}: more than 1000000 bytes"):
            await world.fetch()
        assert world.store.blobs == {}
        assert world.repository.open == 0
        world.store.blobs[DIGEST] = DATA
        with pytest.raises(LayerError, match=f"layer {DIGEST}: more than 1000000 bytes"):
            await world.fetch()
        return 0

    play(scene())


def test_bytes_with_another_digest_are_an_error_of_the_registry() -> None:
    async def scene() -> float:
        world = World()
        forged = layer(file("f"), compression="").blob().data.ljust(len(DATA), b"\0")
        world.repository.blobs = {DIGEST: forged}
        with pytest.raises(RegistryError, match="does not have the digest"):
            await world.fetch()
        return 0

    play(scene())


def test_small_pieces_are_gathered_and_lost_to_no_break() -> None:
    async def scene() -> float:
        world = World()
        world.repository.piece = 1000
        world.repository.cuts[DIGEST] = [12_345, 300_000]
        await world.fetch()
        assert world.repository.offsets(DIGEST) == [0, 12_345, 312_345]
        return 0

    play(scene())


def test_a_type_that_no_layer_has_is_refused() -> None:
    async def scene() -> float:
        blob = Descriptor("text/plain", DIGEST, len(DATA))
        with pytest.raises(LayerError):
            await World().fetch(blob)
        assert blob.media_type != LAYER
        return 0

    play(scene())
