"""The loop in random worlds, in simulated time, with crashes; and a test per trap of its rules."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import looptime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.engine.feed import Feed
from agent.engine.queue import Queue
from agent.engine.store import Store
from agent.engine.supervisor import Supervisor
from agent.task.actions import Action, ObtainImage, Result
from agent.task.definition import NetworkMode
from agent.task.model import Progress, StopCode, StopRequest, Task
from agent.task.stopping import Rules
from agent.task.view import View
from tests.fakes.host import Behaviour, Device, FakeHost, Lender, Supply
from tests.fakes.queue import RudeQueue
from tests.fakes.store import MemoryStore
from tests.worlds import ROLE, container, task

RULES = Rules(stop_timeout_s=5.0, interface_timeout_s=10.0, credentials_timeout_s=10.0)
LONGEST_LIFE_S = {False: 31 + 13 + 5, True: 290}
"""Last stop, three timeouts in a row, some turns; a rude host makes actions fail and wait.

Shorter than RESYNC_S, so that a stall which only that ends is found.
"""


@dataclass(frozen=True)
class World:
    seed: int
    rude: bool
    behaviours: dict[str, Behaviour]
    stop_at: float
    crashes: tuple[float, ...]
    mode: NetworkMode
    device: Device
    role: str | None
    lender: Lender
    secret: bool
    keeper: Lender
    images: Supply
    rules: Rules
    waits: bool
    policy: dict[str, object] | None = None


def three(
    mode: NetworkMode,
    role: str | None = None,
    policy: dict[str, object] | None = None,
    *,
    secret: bool = False,
) -> Task:
    """``web``, between two others, has a secret and is probed if there is a ``secret``."""
    hidden: dict[str, object] = {
        "secrets": [{"name": "KEY", "valueFrom": "key"}],
        "healthCheck": {"command": ["CMD", "true"], "interval": 5},
    }
    needs = [{"containerName": "init", "condition": "COMPLETE"}]
    also = [{"containerName": "web", "condition": "START"}]
    return task(
        container("init", essential=False),
        container(
            "web",
            dependsOn=needs,
            stopTimeout=3,
            restartPolicy=policy,
            **(hidden if secret else {}),
        ),
        container("side", dependsOn=also, essential=False, restartPolicy=policy),
        mode=mode,
        role=role,
    )


behaviour = st.builds(
    Behaviour,
    exits_after=st.none() | st.floats(0, 20),
    exit_code=st.sampled_from([0, 1, 42]),
    ignores_term=st.booleans(),
)
devices = st.builds(
    Device,
    appears_after=st.none() | st.floats(0, 15),
    vanishes_after=st.none() | st.floats(0, 15),
    refusals=st.integers(0, 4),
    refused=st.booleans(),
)
lenders = st.builds(Lender, refusals=st.integers(0, 6), refused=st.booleans())
supplies = st.builds(
    Supply,
    refusals=st.integers(0, 4),
    refused=st.booleans(),
    asked=st.booleans(),
    takes=st.sampled_from([0.0, 0.5, 5.0, 1000.0]),
)
rules_ = st.builds(replace, st.just(RULES), pull_upfront=st.booleans(), pull_strict=st.booleans())
policies = st.fixed_dictionaries(
    {
        "enabled": st.just(True),
        "restartAttemptPeriod": st.integers(1, 9),
        "ignoredExitCodes": st.sampled_from([[], [42]]),
    }
)
worlds_ = st.builds(
    World,
    seed=st.integers(0, 2**32),
    rude=st.booleans(),
    behaviours=st.fixed_dictionaries({"init": behaviour, "web": behaviour, "side": behaviour}),
    stop_at=st.floats(0, 30),
    crashes=st.lists(st.floats(0.01, 10), max_size=4).map(tuple),
    mode=st.sampled_from(["bridge", "awsvpc"]),
    device=devices,
    role=st.none() | st.just(ROLE),
    lender=lenders,
    secret=st.booleans(),
    keeper=lenders,
    images=supplies,
    rules=rules_,
    policy=st.none() | policies,
    waits=st.booleans(),
)


@pytest.fixture
def new_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


async def live(made: Task, host: FakeHost, world: World, store: Store) -> float:
    """The task's whole life, the agent crashing now and then; gives when it was closed.

    Exits, devices that appear and stop requests ring the bell as they do on a real host; nothing
    else wakes the loop.
    """
    clock = asyncio.get_running_loop().time
    agents: list[Supervisor] = []

    def ring() -> None:
        agents[-1].ring()

    async def agent() -> None:
        host.forget()
        queue = RudeQueue(store, host.rng, ring) if world.rude else Queue(store)
        agents.append(Supervisor(made.id, host, store, Feed(), queue))
        await agents[-1].run(clock, world.rules)

    async def operator(at: float) -> None:
        await asyncio.sleep(at)
        await store.ask_to_stop(made.id, StopRequest(clock(), "asked"))
        ring()

    host.on_change = ring
    await store.accept(made, waiting=[made.id] if world.waits else [])
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(operator(world.stop_at))
        for crash_after in world.crashes:
            with suppress(TimeoutError):
                await asyncio.wait_for(agent(), crash_after)
        if not store.progress(made.id).closed:
            await agent()
        closed_at = clock()
        stopping.cancel()
    return closed_at


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds_)
def test_every_life_ends_closed_with_nothing_left_and_nothing_lost(world: World) -> None:
    made = three(world.mode, world.role, world.policy, secret=world.secret)
    store = None
    loop = looptime.new_event_loop()
    try:
        store = MemoryStore()
        host = FakeHost(
            random.Random(world.seed),
            behaviours=dict(world.behaviours),
            rude=world.rude,
            device=replace(world.device),
            lender=replace(world.lender),
            keeper=replace(world.keeper),
            images=replace(world.images),
        )
        closed_at = loop.run_until_complete(live(made, host, world, store))
        progress = store.progress(made.id)
    finally:
        loop.close()
    assert host.gone()
    assert progress.closed
    for name, facts in progress.containers.items():
        runs = 1 + (facts.restart.count if facts.restart else 0)
        assert host.starts.count(name) <= runs, "a container was started twice"
    assert {n: c.exit_code for n, c in progress.containers.items() if n in host.exits} == {
        n: code for n, (code, _) in host.exits.items()
    }
    had = {each.image.digest for each in progress.containers.values() if each.image is not None}
    assert len(had) < 2, "two versions of the same image in one task"
    assert not host.pulling
    assert host.acted < 200
    assert closed_at < LONGEST_LIFE_S[world.rude], "the loop waited for nothing"
    _kills_came_in_time(host)
    if world.mode == "awsvpc" and (world.device.appears_after is None or world.device.refused):
        assert not host.starts, "started without an interface"
    if world.role and world.lender.refused:
        assert not host.starts, "started without credentials"
    if world.secret and world.keeper.refused:
        assert not host.starts, "started without secrets"
    if world.images.refused:
        assert not host.starts, "started without an image"
    if progress.admitted_at is None:
        assert not host.acted, "something was begun of a task that was stopped in the queue"
    waits = [each for each in progress.timeline if each.detail.startswith("for memory: ")]
    assert len(waits) < 2, "told again and again what it waits for"
    if "web" in host.starts:
        assert host.exits["init"][1] <= host.born["web"], "web started before init was COMPLETE"


def _kills_came_in_time(host: FakeHost) -> None:
    limits = {"web": 3.0, "init": 5.0, "side": 5.0}
    for name, number, at in host.signals:
        if number == 9:
            first = next(t for n, s, t in host.signals if n == name and s == 15)
            assert at - first >= limits[name] - 0.2, "killed before its time"


async def drive(host: FakeHost, store: MemoryStore, made: Task, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    with suppress(TimeoutError):
        await asyncio.wait_for(Supervisor(made.id, host, store, Feed()).run(clock, RULES), seconds)


def test_a_stop_during_the_attachment_waits_for_it(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    class Slow(FakeHost):
        async def act(self, task: Task, progress: Progress, action: Action) -> Result:
            if type(action).__name__ == "AttachNetwork":
                await asyncio.sleep(1)
            return await super().act(task, progress, action)

    made = task(container("web"))
    store, host = MemoryStore(made), Slow(random.Random(1), rude=False)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(drive(host, store, made, 30))
            await asyncio.sleep(0.5)
            await store.ask_to_stop(made.id, StopRequest(0.5, "asked"))

    new_loop.run_until_complete(scenario())
    assert host.gone()


def test_a_stop_that_arrives_during_a_turn_is_not_overwritten(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web"))
    store = MemoryStore(made)

    class Asking(FakeHost):
        async def look(self, task: Task, progress: Progress) -> View:
            if store.intents[made.id].stop is None and "web" in self.starts:
                await store.ask_to_stop(made.id, StopRequest(self.now(), "asked"))
            return await super().look(task, progress)

    host = Asking(random.Random(1), rude=False)
    new_loop.run_until_complete(drive(host, store, made, 30))
    new_loop.run_until_complete(drive(host, store, made, 30))
    assert host.signals == [("web", 15, host.signals[0][2])]
    assert host.gone()


def test_a_container_that_ignores_sigterm_gets_it_once(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web", stopTimeout=30))
    store = MemoryStore(made)
    host = FakeHost(random.Random(1), {"web": Behaviour(ignores_term=True)}, rude=False)
    new_loop.run_until_complete(drive(host, store, made, 1))
    new_loop.run_until_complete(store.ask_to_stop(made.id, StopRequest(1, "asked")))
    new_loop.run_until_complete(drive(host, store, made, 29))
    assert [number for _, number, _ in host.signals] == [15]
    new_loop.run_until_complete(drive(host, store, made, 60))
    assert [number for _, number, _ in host.signals] == [15, 9]


def test_a_pull_is_dropped_too_when_nothing_else_is_there_to_be_undone(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    """The task is closed in the turn in which it stops."""
    made = task(container("web"), mode="awsvpc")
    store = MemoryStore()
    host = FakeHost(
        random.Random(1),
        rude=False,
        device=Device(refusals=1),
        images=Supply(asked=True, takes=1000.0),
    )
    world = World(
        0,
        False,
        {},
        0.1,
        (),
        "awsvpc",
        Device(),
        None,
        Lender(),
        False,
        Lender(),
        Supply(),
        RULES,
        False,
    )
    assert new_loop.run_until_complete(live(made, host, world, store)) < 1
    assert [each.what for each in store.progress(made.id).timeline].count("pulling") == 1
    assert not host.pulling


def test_a_pull_that_is_dropped_tidies_up_undisturbed(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    """However many turns the task has meanwhile."""
    made = task(container("web"), container("side", stopTimeout=5))
    store = MemoryStore(made)
    disturbed: list[float] = []

    class Tidying(FakeHost):
        async def act(self, task: Task, progress: Progress, action: Action) -> Result:
            if action != ObtainImage("web"):
                return await super().act(task, progress, action)
            try:
                await asyncio.Event().wait()
            finally:
                began_at = self.now()
                try:
                    await asyncio.sleep(3)
                except asyncio.CancelledError:
                    disturbed.append(self.now() - began_at)
            raise AssertionError("nothing cancels it")

    host = Tidying(random.Random(1), {"side": Behaviour(ignores_term=True)}, rude=False)

    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        supervisor = Supervisor(made.id, host, store, Feed())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(supervisor.run(clock, RULES))
            await asyncio.sleep(1)
            await store.ask_to_stop(made.id, StopRequest(clock(), "asked"))
            for _ in range(20):
                supervisor.ring()
                await asyncio.sleep(0.1)
            await running

    new_loop.run_until_complete(scene())
    assert disturbed == []
    assert host.gone()


def test_cancelling_the_supervisor_leaves_the_container_running(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web"))
    store, host = MemoryStore(made), FakeHost(random.Random(1), rude=False)
    new_loop.run_until_complete(drive(host, store, made, 5))
    assert host.containers["web"].running.value == "RUNNING"
    assert host.signals == []


async def drive_rung(host: FakeHost, store: MemoryStore, made: Task, seconds: float) -> float:
    """As ``drive``, with a host that rings; gives when the supervisor ended."""
    clock = asyncio.get_running_loop().time
    supervisor = Supervisor(made.id, host, store, Feed())
    host.on_change = supervisor.ring
    with suppress(TimeoutError):
        await asyncio.wait_for(supervisor.run(clock, RULES), seconds)
    return clock()


def test_a_device_that_comes_late_is_attached_when_it_comes(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = three("awsvpc")
    store = MemoryStore(made)
    behaviours = {"init": Behaviour(exits_after=1)}
    host = FakeHost(random.Random(1), behaviours, rude=False, device=Device(appears_after=7.0))
    new_loop.run_until_complete(drive_rung(host, store, made, 20))
    assert host.starts == ["init", "web", "side"]
    assert 7.0 <= host.born["init"] < 7.1
    assert host.networks == {""}, "one for all"
    told = [each.detail for each in store.progress(made.id).timeline if each.what == "waiting"]
    assert told == ["for network interface eni-1 (02:00:00:00:00:07) to appear on this host"]


def test_a_device_that_never_comes_ends_the_task(new_loop: asyncio.AbstractEventLoop) -> None:
    made = three("awsvpc")
    store = MemoryStore(made)
    host = FakeHost(random.Random(1), rude=False, device=Device(appears_after=None))
    ended_at = new_loop.run_until_complete(drive_rung(host, store, made, 60))
    progress = store.progress(made.id)
    assert host.gone()
    assert 10.0 <= ended_at < 10.2
    assert progress.closed
    assert progress.stop is not None
    assert progress.stop.code is StopCode.FAILED_TO_START
    reason = (
        "ResourceInitializationError: network interface eni-1 (02:00:00:00:00:07) did not appear "
        "within 10 s: no device of this host has MAC address 02:00:00:00:00:07"
    )
    assert progress.stop.reason == reason
    assert {each.reason for each in progress.containers.values()} == {reason}


def test_after_a_reboot_a_task_in_awsvpc_mode_closes(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = three("awsvpc")
    store, host = MemoryStore(made), FakeHost(random.Random(1), rude=False)
    host.behaviours["init"] = Behaviour(exits_after=1)
    new_loop.run_until_complete(drive_rung(host, store, made, 5))
    assert host.starts == ["init", "web", "side"]
    host.reboot()
    new_loop.run_until_complete(drive_rung(host, store, made, 5))
    progress = store.progress(made.id)
    assert progress.closed
    assert host.gone()
    assert progress.containers["web"].reason.startswith("ContainerVanishedError: ")
    assert progress.stop is not None
    assert progress.stop.code is StopCode.ESSENTIAL_EXITED


def test_after_a_reboot_a_task_that_never_started_acquires_an_interface_anew(
    new_loop: asyncio.AbstractEventLoop,
) -> None:
    made = task(container("web"), mode="awsvpc")
    store = MemoryStore(made)
    host = FakeHost(random.Random(1), rude=False, device=Device(appears_after=None))
    new_loop.run_until_complete(drive_rung(host, store, made, 5))
    host.reboot()
    host.device = Device(appears_after=8.0)
    new_loop.run_until_complete(drive_rung(host, store, made, 9))
    assert host.starts == ["web"], "its time began anew"
