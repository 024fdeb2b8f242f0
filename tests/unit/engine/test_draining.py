"""Emptying the host: in what order, and that nobody stays, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import looptime
import pytest

from agent.engine.draining import DAEMONS_AFTER_S, evacuate
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet, show
from agent.task.capacity import BOUNDLESS, Capacity
from agent.task.model import Protection, StopCode, StopRequest, Task
from agent.task.stopping import Rules
from tests.fakes.host import FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

REQUEST = StopRequest(5.0, "interrupted", code=StopCode.SPOT)


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


def named(letter: str, group: str = "family:test") -> Task:
    return replace(task(container("web"), task_id=letter * 32), group=group)


WEB, DB, LOG = named("1"), named("2"), named("3", "daemon:log")


class Engine:
    def __init__(self, hosts: FakeHosts, *made: Task, capacity: Capacity = BOUNDLESS) -> None:
        self.store, self.feed, self.hosts = MemoryStore(*made), Feed(), hosts
        show(self.store, self.feed)
        clock = asyncio.get_running_loop().time
        self.fleet = Fleet(hosts, self.store, self.feed, clock, Rules(), capacity)

    async def evacuate(self) -> None:
        await evacuate(self.store, self.fleet, self.feed, lambda: REQUEST)

    def signalled(self, made: Task) -> float:
        """When it was told to stop."""
        return min(at for _, _, at in self.hosts.of(made).signals)


@asynccontextmanager
async def running(hosts: FakeHosts) -> AsyncIterator[Engine]:
    engine = Engine(hosts, LOG, WEB, DB)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(engine.fleet.run(1000.0))
        await asyncio.sleep(1)
        yield engine
        run.cancel()


def test_daemon_tasks_are_stopped_when_the_others_have(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        hosts = FakeHosts()
        async with running(hosts) as it:
            # The last of the others takes its time to stop.
            hosts.of(DB).behaviours["web"] = replace(
                hosts.of(DB).behaviours["web"], ignores_term=True
            )
            await it.evacuate()
            assert it.store.notes.draining
            await asyncio.sleep(1)
            assert it.signalled(LOG) >= it.signalled(DB) + Rules().stop_timeout_s
            assert it.signalled(WEB) == pytest.approx(it.signalled(DB), abs=0.1)
            for each in (WEB, DB, LOG):
                stop = it.store.progress(each.id).stop
                assert stop is not None
                assert (stop.code, stop.reason, stop.at) == (StopCode.SPOT, "interrupted", 5.0)

    simulated.run_until_complete(scenario())


def test_daemon_tasks_are_stopped_in_time_even_if_others_go_on(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(FakeHosts()) as it:
            it.hosts.faulty.add(WEB.id)
            began_at = asyncio.get_running_loop().time()
            await it.evacuate()
            await asyncio.sleep(1)
            assert it.signalled(LOG) == pytest.approx(began_at + DAEMONS_AFTER_S, abs=0.1)
            it.hosts.faulty.clear()

    simulated.run_until_complete(scenario())


def test_protection_does_not_save_a_task_from_the_end_of_its_host(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        async with running(FakeHosts()) as it:
            await it.fleet.protect(WEB.id, Protection(1e9))
            await it.evacuate()
            await asyncio.sleep(1)
            assert it.store.progress(WEB.id).stopped

    simulated.run_until_complete(scenario())


def test_a_task_that_was_being_accepted_is_stopped_too(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        late = named("4")
        async with running(FakeHosts()) as it, asyncio.TaskGroup() as group:
            group.create_task(it.evacuate())
            await asyncio.sleep(0.0015)
            await it.fleet.accept(late)
            await asyncio.sleep(2)
            assert it.store.progress(late.id).stopped

    simulated.run_until_complete(scenario())


def test_a_task_that_waits_for_room_does_not_begin_when_others_leave_it_some(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    async def scenario() -> None:
        it = Engine(FakeHosts(), capacity=Capacity(memory_mib=100, cpu_units=1024))
        async with asyncio.TaskGroup() as group:
            run = group.create_task(it.fleet.run(1000.0))
            await it.fleet.accept(WEB, DB)
            await asyncio.sleep(1)
            await it.evacuate()
            await asyncio.sleep(1)
            run.cancel()
        assert it.hosts.of(WEB).starts == ["web"]
        assert it.hosts.of(DB).acted == 0
        assert it.store.progress(DB.id).closed

    simulated.run_until_complete(scenario())


def test_a_host_without_tasks_is_emptied_at_once(simulated: asyncio.AbstractEventLoop) -> None:
    async def scenario() -> None:
        it = Engine(FakeHosts())
        await it.evacuate()
        assert it.store.notes.draining
        assert asyncio.get_running_loop().time() < 0.1

    simulated.run_until_complete(scenario())
