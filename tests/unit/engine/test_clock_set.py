"""The wall clock is set by an hour while a task lives: nothing comes early, nor an hour late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import looptime
import pytest

from agent.engine.feed import Feed
from agent.engine.supervisor import Supervisor
from agent.engine.wallclock import LEAST_S, Setting
from agent.task.model import StopRequest, Task
from agent.task.stopping import Rules
from tests.fakes.host import Behaviour, Device, FakeHost
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

HOUR = 3600.0
STUBBORN = {"web": Behaviour(ignores_term=True)}
CHECK = {"command": ["CMD", "true"], "interval": 10, "retries": 1}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = looptime.new_event_loop()
    yield made
    made.close()


@dataclass
class Wall:
    """A wall clock over the loop's, to be set; epoch times, so that setting it back is possible."""

    loop: asyncio.AbstractEventLoop
    offset: float = 1e9

    def __call__(self) -> float:
        return self.loop.time() + self.offset

    def set_by(self, seconds: float) -> None:
        self.offset += seconds


async def life(
    made: Task, host: FakeHost, store: MemoryStore, by: float, set_at: float, until: float = 60.0
) -> Supervisor:
    """A task that is asked to stop at 20, the clock being set by ``by`` at ``set_at``."""
    loop = asyncio.get_running_loop()
    wall = Wall(loop)
    supervisor = Supervisor(made.id, host, store, Feed())
    host.on_change = supervisor.ring
    rules = Rules(stop_timeout_s=5.0, interface_timeout_s=10.0)

    async def operator() -> None:
        await asyncio.sleep(20)
        await store.ask_to_stop(made.id, StopRequest(wall(), "asked"))
        supervisor.ring()

    loop.call_later(set_at, wall.set_by, by)
    with suppress(TimeoutError):
        async with asyncio.timeout(until), asyncio.TaskGroup() as group:
            asking = group.create_task(operator())
            await supervisor.run(wall, rules, loop.time)
            asking.cancel()
    return supervisor


@pytest.mark.parametrize("by", [HOUR, -HOUR, 0.0])
@pytest.mark.parametrize("set_at", [0.5, 21.0, 24.9])
def test_the_kill_comes_when_the_stop_timeout_is_over(
    loop: asyncio.AbstractEventLoop, by: float, set_at: float
) -> None:
    made = task(container("web"))
    store, host = MemoryStore(made), FakeHost(random.Random(1), STUBBORN, rude=False)
    loop.run_until_complete(life(made, host, store, by, set_at))
    sent = {number: at for _, number, at in host.signals}
    assert sent[9] - sent[15] == pytest.approx(5.0, abs=0.2)
    progress = store.progress(made.id)
    assert progress.closed
    # The fake knows exits by the loop's clock.
    times = [each.at for each in progress.timeline if each.what != "exited"]
    assert times == sorted(times)
    assert times[-1] - times[1] < 60


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_probes_keep_their_interval(loop: asyncio.AbstractEventLoop, by: float) -> None:
    made = task(container("web", healthCheck=CHECK))
    store, host = MemoryStore(made), FakeHost(random.Random(1), {}, rude=False)
    probed = list[float]()
    act = host.act

    async def noted(task: Task, progress: object, action: object) -> object:
        if type(action).__name__ == "Probe":
            probed.append(loop.time())
        return await act(task, progress, action)  # type: ignore[arg-type]

    host.act = noted  # type: ignore[method-assign, assignment]
    loop.run_until_complete(life(made, host, store, by, set_at=14.0, until=60.0))
    waits = [after - before for before, after in pairwise(probed)]
    assert probed
    assert all(9.5 <= each <= 11.5 for each in waits), probed


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_an_interface_is_waited_for_as_long_as_it_should(
    loop: asyncio.AbstractEventLoop, by: float
) -> None:
    made = task(container("web"), mode="awsvpc")
    device = Device(appears_after=8.0)
    store, host = MemoryStore(made), FakeHost(random.Random(1), {}, rude=False, device=device)
    loop.run_until_complete(life(made, host, store, by, set_at=4.0))
    assert host.starts == ["web"]


def test_a_clock_set_back_while_there_was_no_agent_delays_nothing_by_as_much(
    loop: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web"))
    store, host = MemoryStore(made), FakeHost(random.Random(1), STUBBORN, rude=False)

    async def scene() -> None:
        await life(made, host, store, 0.0, set_at=0.0, until=22.0)
        again = Supervisor(made.id, host, store, Feed())
        host.on_change = again.ring
        await asyncio.wait_for(again.run(Wall(loop, 1e9 - HOUR), Rules(5.0), loop.time), 60.0)

    loop.run_until_complete(scene())
    sent = {number: at for _, number, at in host.signals}
    assert 5.0 <= sent[9] - sent[15] <= 8.0


def test_a_setting_is_told_once_and_small_ones_never() -> None:
    now = [100.0, 5.0]
    setting = Setting(lambda: now[0], lambda: now[1])
    now[0] += LEAST_S / 2
    assert setting.by() == 0.0
    now[0] += 10.0
    assert setting.by() == 10.0 + LEAST_S / 2
    assert setting.by() == 10.0 + LEAST_S / 2
    setting.told(setting.by())
    assert setting.by() == 0.0
    now[0] -= 30.0
    assert setting.by() == -30.0
