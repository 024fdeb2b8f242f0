"""The fleet in simulated time: its barrier, its sweep, and who is woken by what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import looptime
import pytest

from agent.engine.feed import Feed, Picture
from agent.engine.fleet import SWEEP_S, Fleet, show
from agent.task import names
from agent.task.capacity import BOUNDLESS, Capacity
from agent.task.model import Protection, StopRequest, Task, TaskId
from agent.task.stopping import Rules
from tests.fakes.host import Device, FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

ONE = task(container("web"), task_id="1" * 32)
TWO = task(container("web"), task_id="2" * 32)
IDS = (ONE.id, TWO.id)


@dataclass
class Engine:
    hosts: FakeHosts
    store: MemoryStore
    feed: Feed
    fleet: Fleet


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


def engine(hosts: FakeHosts, store: MemoryStore, capacity: Capacity = BOUNDLESS) -> Engine:
    clock = asyncio.get_running_loop().time
    feed = Feed()
    show(store, feed)
    return Engine(hosts, store, feed, Fleet(hosts, store, feed, clock, Rules(), capacity))


async def test_stored_tasks_are_shown_as_they_were_saved() -> None:
    store, feed = MemoryStore(ONE, TWO), Feed()
    show(store, feed)
    assert list(feed) == [Picture(store.intents[each], store.progress(each)) for each in IDS]


@asynccontextmanager
async def running(
    *made: Task, hosts: FakeHosts | None = None, keep_closed_s: float = 1000.0
) -> AsyncIterator[Engine]:
    """A fleet that has taken up ``made``; cancelled at the end."""
    all_parts = engine(hosts or FakeHosts(), MemoryStore(*made))
    async with asyncio.TaskGroup() as group:
        run = group.create_task(all_parts.fleet.run(keep_closed_s))
        await asyncio.sleep(1)
        yield all_parts
        run.cancel()


def test_every_stored_task_is_taken_up(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        async with running(ONE, TWO) as it:
            assert it.hosts.runs(ONE)
            assert it.hosts.runs(TWO)
            assert set(it.feed.pictures) == {ONE.id, TWO.id}

    simulated.run_until_complete(scenario())


def test_a_task_accepted_before_or_during_the_run_is_taken_up(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        it = engine(FakeHosts(), MemoryStore())
        await it.fleet.accept(ONE)
        assert set(it.feed.pictures) == {ONE.id}
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(1000.0))
            await asyncio.sleep(1)
            await it.fleet.accept(TWO)
            await asyncio.sleep(1)
            run.cancel()
        assert it.hosts.runs(ONE)
        assert it.hosts.runs(TWO)
        assert it.hosts.of(ONE).starts == ["web"]

    simulated.run_until_complete(scenario())


def test_a_bug_with_one_task_does_not_disturb_another_and_is_tried_again(
    simulated: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(ONE, TWO, hosts=FakeHosts(faulty={ONE.id})) as it:
            await asyncio.sleep(600)
            assert it.hosts.runs(TWO)
            tries = it.hosts.looks.count(ONE.id)
            assert 600 / 60 <= tries <= 600 / 60 + 7, "waits 1, 2, 4 … 60 s between tries"
            assert it.fleet.failures == tries
            it.hosts.faulty.clear()
            await asyncio.sleep(61)
            assert it.hosts.runs(ONE)

    simulated.run_until_complete(scenario())
    logged = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert {each.message for each in logged} == {
        f"work on task {ONE.id} failed; it will be tried again"
    }
    assert all(each.exc_info for each in logged)


def test_a_task_whose_supervisor_failed_can_still_be_stopped(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(ONE) as it:
            it.hosts.faulty.add(ONE.id)
            it.fleet.ring_all()
            await asyncio.sleep(1)
            await it.fleet.stop(ONE.id, StopRequest(1.0, "asked"))
            it.hosts.faulty.clear()
            await asyncio.sleep(70)
            assert it.store.progress(ONE.id).closed

    simulated.run_until_complete(scenario())


def test_cancelling_the_fleet_leaves_every_container_running(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> FakeHosts:
        async with running(ONE, TWO) as it:
            pass
        return it.hosts

    hosts = simulated.run_until_complete(scenario())
    for each in (ONE, TWO):
        assert hosts.runs(each)
        assert hosts.of(each).signals == []


def test_a_closed_task_is_forgotten_when_its_time_is_up_and_not_before(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(ONE, hosts=FakeHosts(exits_after=0.1), keep_closed_s=200.0) as it:
            it.fleet.ring_all()
            await asyncio.sleep(1)
            assert it.store.progress(ONE.id).closed
            await asyncio.sleep(190)
            assert ONE.id in it.feed.pictures
            await asyncio.sleep(10 + SWEEP_S)
            assert it.hosts.forgotten == [ONE.id]
            assert not it.feed.pictures
            assert not it.store.intents

    simulated.run_until_complete(scenario())


def test_a_closed_task_is_kept_for_its_own_part_of_the_jitter_as_well(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        it = engine(FakeHosts(exits_after=0.1), MemoryStore(ONE, TWO))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(0.0, 10 * SWEEP_S))
            await asyncio.sleep(1)
            it.fleet.ring_all()
            await asyncio.sleep(1)
            first, last = sorted((names.share(each), each) for each in IDS)
            await asyncio.sleep((first[0] * 10 + 1) * SWEEP_S)
            assert it.hosts.forgotten == [first[1]]
            await asyncio.sleep((last[0] - first[0]) * 10 * SWEEP_S)
            assert it.hosts.forgotten == [first[1], last[1]]
            run.cancel()

    simulated.run_until_complete(scenario())


def test_a_task_begins_when_another_leaves_it_room(simulated: asyncio.AbstractEventLoop) -> None:
    """Nothing but the other's end wakes it, and it has waited for longer than any resync."""

    async def scenario() -> None:
        it = engine(FakeHosts(), MemoryStore(), Capacity(memory_mib=100, cpu_units=1024))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(1000.0))
            await it.fleet.accept(ONE, TWO)
            await asyncio.sleep(400)
            assert it.hosts.runs(ONE)
            assert it.hosts.of(TWO).acted == 0
            progress = it.feed.pictures[TWO.id].progress
            assert [(each.what, each.detail) for each in progress.timeline] == [
                ("accepted", ""),
                ("waiting", "for 64 MiB of memory: 36 MiB of 100 are free"),
            ]
            await it.fleet.stop(ONE.id, StopRequest(1.0, "asked"))
            await asyncio.sleep(100)
            assert it.hosts.runs(TWO)
            run.cancel()
        steps = [each.what for each in it.store.progress(TWO.id).timeline]
        assert steps[:3] == ["accepted", "waiting", "admitted"]

    simulated.run_until_complete(scenario())


def test_a_task_that_is_stopped_in_the_queue_is_over_with_nothing_begun(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        it = engine(FakeHosts(), MemoryStore(), Capacity(memory_mib=100, cpu_units=1024))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(1000.0))
            await it.fleet.accept(ONE, TWO)
            await asyncio.sleep(1)
            await it.fleet.stop(TWO.id, StopRequest(1.0, "asked"))
            await asyncio.sleep(1)
            run.cancel()
        progress = it.store.progress(TWO.id)
        assert progress.closed
        assert it.hosts.of(TWO).acted == 0
        assert progress.containers["web"].exit_code is None
        assert progress.containers["web"].reason == (
            "TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task: "
            f"{TWO.arn}"
        )
        assert it.hosts.runs(ONE)

    simulated.run_until_complete(scenario())


def test_a_task_that_waits_goes_on_waiting_under_the_next_agent(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        room = Capacity(memory_mib=100, cpu_units=1024)
        it = engine(FakeHosts(), MemoryStore(), room)
        await it.fleet.accept(ONE, TWO)
        for _ in range(2):
            with suppress(TimeoutError):
                await asyncio.wait_for(engine(it.hosts, it.store, room).fleet.run(1000.0), 5)
        assert it.hosts.runs(ONE)
        assert it.hosts.of(TWO).acted == 0
        larger = replace(room, memory_mib=128)
        with suppress(TimeoutError):
            await asyncio.wait_for(engine(it.hosts, it.store, larger).fleet.run(1000.0), 5)
        assert it.hosts.runs(TWO)

    simulated.run_until_complete(scenario())


def test_a_bug_in_forgetting_one_task_does_not_disturb_the_others(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(ONE, TWO, hosts=FakeHosts(exits_after=0.1), keep_closed_s=1.0) as it:
            it.fleet.ring_all()
            await asyncio.sleep(2)
            it.hosts.faulty.add(ONE.id)
            await asyncio.sleep(SWEEP_S)
            assert list(it.store.intents) == [ONE.id]
            it.hosts.faulty.clear()
            await asyncio.sleep(SWEEP_S)
            assert not it.store.intents

    simulated.run_until_complete(scenario())


def test_an_unknown_task_can_not_be_stopped(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        async with running(ONE) as it:
            with pytest.raises(KeyError):
                await it.fleet.stop(TWO.id, StopRequest(1.0, "asked"))

    simulated.run_until_complete(scenario())


def test_a_protection_is_shown_at_once_and_costs_a_stop_nothing(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(ONE, TWO) as it:
            with pytest.raises(KeyError):
                await it.fleet.protect(TaskId("3" * 32), Protection(1e9))
            before = it.feed.pictures[ONE.id]
            await it.fleet.protect(ONE.id, Protection(1e9))
            shown = it.feed.pictures[ONE.id]
            assert shown.intent.protection == Protection(1e9)
            assert (shown.progress, shown.view) == (before.progress, before.view)
            await it.fleet.stop(ONE.id, StopRequest(1.0, "asked"))
            await asyncio.sleep(60)
            assert it.feed.pictures[ONE.id].progress.closed
            assert it.feed.pictures[ONE.id].intent.protection == Protection(1e9)
            await it.fleet.protect(TWO.id, None)
            assert it.feed.pictures[TWO.id].intent.protection is None

    simulated.run_until_complete(scenario())


def test_stopping_a_stopped_task_changes_nothing(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        async with running(ONE, hosts=FakeHosts(exits_after=0.1)) as it:
            it.fleet.ring_all()
            await asyncio.sleep(1)
            before = it.feed.pictures[ONE.id]
            await it.fleet.stop(ONE.id, StopRequest(1.0, "asked"))
            assert it.feed.pictures[ONE.id] is before
            assert it.store.intents[ONE.id].stop is None

    simulated.run_until_complete(scenario())


class SlowStore(MemoryStore):
    """Takes so long to keep a request that the task has closed meanwhile."""

    async def ask_to_stop(self, task_id: TaskId, request: StopRequest) -> None:
        await asyncio.sleep(10)
        await super().ask_to_stop(task_id, request)


def test_a_task_may_close_while_it_is_asked_to_stop(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        it = engine(FakeHosts(exits_after=1.5), SlowStore(ONE))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(1000.0))
            await asyncio.sleep(1)
            stop = group.create_task(it.fleet.stop(ONE.id, StopRequest(1.0, "asked")))
            await asyncio.sleep(2)
            it.fleet.ring_all()
            await stop
            assert it.store.progress(ONE.id).closed
            run.cancel()

    simulated.run_until_complete(scenario())


def test_a_ring_by_container_wakes_only_its_task(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        async with running(ONE, TWO) as it:
            it.hosts.looks.clear()
            it.fleet.ring(names.container_id(ONE.id, "web"))
            it.fleet.ring("f" * 64)
            await asyncio.sleep(1)
            assert it.hosts.looks == [ONE.id]
            it.fleet.ring_all()
            await asyncio.sleep(1)
            assert it.hosts.looks == [ONE.id, ONE.id, TWO.id]

    simulated.run_until_complete(scenario())


def test_a_ring_for_a_closed_task_does_nothing(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        async with running(ONE, hosts=FakeHosts(exits_after=0.1)) as it:
            it.fleet.ring_all()
            await asyncio.sleep(1)
            it.hosts.looks.clear()
            it.fleet.ring(names.container_id(ONE.id, "web"))
            await asyncio.sleep(1)
            assert it.hosts.looks == []

    simulated.run_until_complete(scenario())


def test_a_task_that_was_closed_before_is_shown_but_not_supervised(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(ONE, hosts=FakeHosts(exits_after=0.1)) as before:
            before.fleet.ring_all()
            await asyncio.sleep(1)
        after = engine(before.hosts, before.store)
        before.hosts.looks.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(after.fleet.run(1000.0), 5)
        assert before.hosts.looks == []
        assert after.feed.pictures[ONE.id].progress.closed

    simulated.run_until_complete(scenario())


def test_a_new_device_wakes_only_the_tasks_that_wait_for_one(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    waiting = task(container("web"), task_id="3" * 32, mode="awsvpc")

    async def scenario() -> None:
        hosts = FakeHosts(device=Device(appears_after=30.0))
        async with running(ONE, waiting, hosts=hosts) as it:
            await asyncio.sleep(30)
            assert not it.hosts.runs(waiting)
            it.hosts.looks.clear()
            it.fleet.ring_waiting()
            await asyncio.sleep(1)
            assert set(it.hosts.looks) == {waiting.id}
            assert it.hosts.runs(waiting)
            it.hosts.looks.clear()
            it.fleet.ring_waiting()
            await asyncio.sleep(1)
            assert it.hosts.looks == []

    simulated.run_until_complete(scenario())
