"""Nothing is done to the world before it is on disk, and nothing at all while the disk is full."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import looptime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.engine.feed import Feed
from agent.engine.fleet import SWEEP_S, Fleet
from agent.engine.store import Store, StoreError
from agent.engine.supervisor import Supervisor
from agent.task.actions import Action, Result, Signal
from agent.task.model import Progress, StopRequest, Task
from agent.task.stopping import Rules
from tests.fakes.host import Behaviour, FakeHost, FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

RULES = Rules(stop_timeout_s=5.0)


class FullAtTimes(MemoryStore):
    """Refuses every write in these spans of simulated time, as a full disk does."""

    def __init__(self, *made: Task, spans: tuple[tuple[float, float], ...] = ()) -> None:
        super().__init__(*made)
        self.spans = spans
        self.refused = 0

    async def _write(self, change: object) -> Any:
        await super()._write(change)
        now = asyncio.get_running_loop().time()
        if any(begin <= now < end for begin, end in self.spans):
            self.refused += 1
            raise StoreError("can't write state.db: database or disk is full")


@dataclass
class Strict(FakeHost):
    """Acts only on what the store has."""

    store: MemoryStore | None = None
    acts: list[tuple[float, Action]] = field(default_factory=list)

    async def act(self, task: Task, progress: Progress, action: Action) -> Result:
        assert self.store is not None
        assert self.store.progress(task.id) == progress, f"{action} before its facts were saved"
        self.acts.append((self.now(), action))
        return await super().act(task, progress, action)


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


spans_ = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0.01, 20)).map(lambda it: (it[0], it[0] + it[1])),
    max_size=3,
).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32), spans=spans_, stop_at=st.floats(0, 40), exits=st.none() | st.just(3)
)
def test_a_task_lives_through_full_disks_and_loses_nothing(
    seed: int, spans: tuple[tuple[float, float], ...], stop_at: float, exits: float | None
) -> None:
    made = task(container("web", stopTimeout=3), container("side", essential=False))
    loop = looptime.new_event_loop()
    store = FullAtTimes(made, spans=spans)
    behaviours = {"side": Behaviour(exits_after=exits, exit_code=7), "web": Behaviour(exit_code=9)}
    host = Strict(random.Random(seed), behaviours, rude=False, store=store)

    async def operator(supervisor: Supervisor) -> None:
        await asyncio.sleep(stop_at)
        while True:  # whoever is refused asks again
            try:
                await store.ask_to_stop(made.id, StopRequest(loop.time(), "asked"))
                break
            except StoreError:
                await asyncio.sleep(1)
        supervisor.ring()

    async def life() -> None:
        supervisor = Supervisor(made.id, host, store, Feed())
        host.on_change = supervisor.ring
        async with asyncio.timeout(200), asyncio.TaskGroup() as group:
            group.create_task(operator(supervisor))
            await supervisor.run(loop.time, RULES)

    try:
        loop.run_until_complete(life())
    finally:
        loop.close()
    progress = store.progress(made.id)
    assert progress.closed
    assert host.gone()
    assert len(host.starts) == len(set(host.starts))
    assert len(host.signals) == len(set(host.signals))
    for name, (code, _) in host.exits.items():
        assert progress.containers[name].exit_code == code
    for begin, end in spans:
        late = {action for at, action in host.acts if begin + 0.1 < at < end}
        assert not {each for each in late if isinstance(each, Signal)}, "done and not written"
    assert store.refused < 400, "it spins"


def test_a_running_task_is_left_alone_until_there_is_room(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web"))
    store = FullAtTimes(made, spans=((5, 60),))
    host = Strict(random.Random(1), {"web": Behaviour(exits_after=20)}, rude=False, store=store)

    async def scene() -> None:
        supervisor = Supervisor(made.id, host, store, Feed())
        host.on_change = supervisor.ring
        async with asyncio.TaskGroup() as group:
            running = group.create_task(supervisor.run(simulated.time, RULES))
            await asyncio.sleep(30)
            assert "web" in host.exits, "it exited while nothing could be written"
            assert store.progress(made.id).containers["web"].exit_code is None
            assert all(at < 5 for at, _ in host.acts)
            await running

    simulated.run_until_complete(scene())
    assert store.progress(made.id).containers["web"].exit_code == 0
    exited_at = store.progress(made.id).containers["web"].finished_at
    assert exited_at is not None
    assert 20 <= exited_at < 21, "the time is that of the exit, not of the look"
    assert store.refused < 60


def test_what_can_not_be_kept_is_refused_and_nothing_is_begun(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    made, hosts = task(container("web")), FakeHosts()

    async def scene() -> None:
        store, feed = FullAtTimes(spans=((0, 10),)), Feed()
        fleet = Fleet(hosts, store, feed, simulated.time, RULES)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(fleet.run(1000.0))
            await asyncio.sleep(1)
            with pytest.raises(StoreError, match="full"):
                await fleet.accept(made)
            await asyncio.sleep(5)
            assert hosts.looks == []
            assert dict(feed.pictures) == {}
            await asyncio.sleep(10)
            await fleet.accept(made)
            store.spans = ((simulated.time() + 5, simulated.time() + 20),)
            await asyncio.sleep(10)
            with pytest.raises(StoreError, match="full"):
                await fleet.stop(made.id, StopRequest(simulated.time(), "asked"))
            await asyncio.sleep(20)
            assert hosts.runs(made), "a stop that was refused is none"
            assert feed.pictures[made.id].intent.stop is None
            run.cancel()

    simulated.run_until_complete(scene())


def test_a_closed_task_is_forgotten_when_there_is_room(
    simulated: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    made, hosts = task(container("web")), FakeHosts(exits_after=0.0)

    async def scene() -> None:
        store = FullAtTimes(made, spans=((50, 50 + 3 * SWEEP_S),))
        fleet = Fleet(hosts, store, Feed(), simulated.time, RULES)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(fleet.run(20.0))
            await asyncio.sleep(2 * SWEEP_S)
            assert made.id in store.intents
            await asyncio.sleep(4 * SWEEP_S)
            assert made.id not in store.intents
            assert fleet.failures == 0
            run.cancel()

    simulated.run_until_complete(scene())
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_the_store_tells_once_that_it_fails_and_once_that_it_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "state.db")
    await store.open()
    made = [task(container("web"), task_id=f"{number:032x}") for number in range(400)]
    try:
        await store._file._run(lambda: _limit(store, 20))
        with pytest.raises(StoreError, match="full"):
            await store.accept(*made)
        for _ in range(3):
            with pytest.raises(StoreError, match="full"):
                await store.accept(*made)
        await store._file._run(lambda: _limit(store, 10_000))
        await store.accept(*made)
        await store.accept(task(container("web"), task_id="f" * 32))
    finally:
        await store.close()
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]
    assert "full; tasks run on, but nothing can be begun" in caplog.text
    assert "can be written again" in caplog.text


async def test_what_was_refused_because_it_took_too_long_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "state.db")
    await store.open()
    hangs = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        asyncio.run_coroutine_threadsafe(hangs.wait(), loop).result(10)

    blocked = loop.run_in_executor(store._file._thread, slow)
    monkeypatch.setattr("agent.engine.storefile.WRITE_DEADLINE_S", 0.05)
    with pytest.raises(StoreError, match="did not answer"):
        await store.accept(task(container("web")))
    monkeypatch.undo()
    hangs.set()
    await blocked
    await store.close()
    again = Store(tmp_path / "state.db")
    await again.open()
    kept = (dict(again.intents), again.halves.intents)
    await again.close()
    assert kept == ({}, {})


def _limit(store: Store, pages: int) -> None:
    assert store._file._db is not None
    store._file._db.execute(f"PRAGMA max_page_count = {pages}").fetchone()
