"""What the engine may rely on of any host, checked on the one in memory and on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from signal import SIGKILL, SIGTERM

import pytest

from agent.containerd.errors import Unavailable
from agent.host.host import RealHost
from agent.task.actions import (
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    ForgetTask,
    ObtainCredentials,
    ObtainImage,
    Probe,
    Probed,
    ReleaseTask,
    RestartContainer,
    ServeMetadata,
    Signal,
    StartContainer,
    WithdrawCredentials,
)
from agent.task.view import Absent, ContainerSeen, Running, Seen, Unknown
from tests.contract.host_worlds import Program, World, in_memory, on_this_machine
from tests.system.containerd_daemon import DaemonPaths

DEADLINE_S = 10.0

Enter = Callable[[Program], AbstractAsyncContextManager[World]]

CREATED: tuple[Action, ...] = (
    ObtainImage("app"),
    ObtainCredentials(),
    AttachNetwork("app"),
    CreateContainer("app"),
)
STARTED = (*CREATED, StartContainer("app"))
REMOVED = (
    DeleteContainer("app"),
    DetachNetwork("app"),
    WithdrawCredentials(),
    ReleaseTask(),
    ForgetTask(),
)


@pytest.fixture(params=["in memory", "this machine"])
def enter(request: pytest.FixtureRequest) -> Enter:
    """A world with a task whose container runs the given program; it is brought down at the end."""
    if request.param == "in memory":
        return partial(cleaned, in_memory)
    paths: DaemonPaths = request.getfixturevalue("containerd")
    return partial(cleaned, partial(on_this_machine, containerd=paths.socket))


@asynccontextmanager
async def cleaned(enter: Enter, program: Program) -> AsyncIterator[World]:
    async with enter(program) as world:
        try:
            yield world
        finally:
            await world.act(Signal("app", SIGKILL))
            if isinstance((await world.look()).containers["app"], Seen):
                await until_not_running(world)
            for action in REMOVED:
                assert await world.act(action) == Done()


async def until_not_running(world: World) -> None:
    await until(world, lambda look: look.state.running is not Running.RUNNING)


async def until(world: World, holds: Callable[[Seen[ContainerSeen]], bool]) -> None:
    """Looks again and again: a host has no events."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            look = (await world.look()).containers["app"]
            if isinstance(look, Seen) and holds(look):
                return
            await asyncio.sleep(0.01)


async def until_healthy(world: World) -> None:
    """Its handler for SIGTERM is there."""
    async with asyncio.timeout(DEADLINE_S):
        while await world.act(Probe("app")) != Done(Probed(0, "")):
            pass


async def seen(world: World) -> ContainerSeen:
    look = (await world.look()).containers["app"]
    assert isinstance(look, Seen), look
    return look.state


async def done(world: World, *actions: Action) -> None:
    for action in actions:
        result = await world.act(action)
        assert isinstance(result, Done), (action, result)


async def test_at_first_there_is_nothing(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        view = await world.look()
        assert view.task == view.credentials == Absent()
        assert view.networks == view.containers == {"app": Absent()}


async def test_bringing_down_what_is_not_there_is_done(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, Signal("app", SIGTERM), *REMOVED)


async def test_every_step_up_may_be_repeated(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        for action in STARTED:
            await done(world, action, action)
        await done(world, ServeMetadata("app"), ServeMetadata("app"))
        view = await world.look()
        assert view.task == view.credentials == Seen(None)
        assert isinstance(view.networks["app"], Seen)
        assert (await seen(world)).running is Running.RUNNING


async def test_a_created_container_does_not_run_yet(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *CREATED)
        assert (await seen(world)).running is Running.CREATED


async def test_starting_again_starts_nothing_else(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *STARTED)
        before = await seen(world)
        await done(world, CreateContainer("app"), StartContainer("app"))
        assert await seen(world) == before


async def test_finding_an_image_again_gives_the_same(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        assert await world.act(ObtainImage("app")) == await world.act(ObtainImage("app"))


async def test_an_exit_code_is_seen_until_the_container_is_deleted(enter: Enter) -> None:
    async with enter(Program.EXITS) as world:
        await done(world, *STARTED)
        await until_not_running(world)
        ended = await seen(world)
        assert (ended.running, ended.exit_code) == (Running.STOPPED, 3)
        assert ended.exited_at is not None
        await done(world, StartContainer("app"), Signal("app", SIGTERM))
        assert await seen(world) == ended
        await done(world, DeleteContainer("app"))
        assert (await world.look()).containers["app"] == Absent()


async def test_a_container_runs_again_on_what_its_last_run_left(enter: Enter) -> None:
    async with enter(Program.COUNTS) as world:
        await done(world, *STARTED)
        await until_not_running(world)
        for code in (1, 2):
            ended = await seen(world)
            assert ended.exit_code == code
            world.answer(ended)
            await done(world, RestartContainer("app"))
            await until(world, lambda look: (look.state.exit_code or 0) > code)  # noqa: B023


async def test_an_exit_is_answered_once(enter: Enter) -> None:
    async with enter(Program.COUNTS) as world:
        await done(world, *STARTED)
        await until_not_running(world)
        world.answer(await seen(world))
        await done(world, RestartContainer("app"))
        await until(world, lambda look: look.state.exit_code == 2)
        ended = await seen(world)
        await done(world, RestartContainer("app"), StartContainer("app"))
        assert await seen(world) == ended


async def test_a_run_that_goes_on_is_not_disturbed_by_a_restart(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *STARTED)
        await until_healthy(world)
        await done(world, Signal("app", SIGKILL))
        await until_not_running(world)
        world.answer(await seen(world))
        await done(world, RestartContainer("app"))
        before = await seen(world)
        assert before.running is Running.RUNNING
        await done(world, RestartContainer("app"))
        assert await seen(world) == before


@pytest.mark.parametrize(("number", "code"), [(SIGTERM, 143), (SIGKILL, 137)])
async def test_a_signal_is_delivered(enter: Enter, number: int, code: int) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *STARTED)
        await until_healthy(world)
        await done(world, Signal("app", number))
        await until_not_running(world)
        assert (await seen(world)).exit_code == code
        await done(world, Signal("app", number))


async def test_a_probe_says_how_it_ended(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *STARTED)
        await until_healthy(world)
    async with enter(Program.IS_SICK) as world:
        await done(world, *STARTED)
        assert await world.act(Probe("app")) == Done(Probed(1, ""))


async def test_every_step_down_may_be_repeated(enter: Enter) -> None:
    async with enter(Program.EXITS) as world:
        await done(world, *STARTED)
        await until_not_running(world)
        for action in REMOVED:
            await done(world, action, action)
        view = await world.look()
        assert view.task == view.credentials == Absent()
        assert view.networks == view.containers == {"app": Absent()}


async def test_a_created_container_may_be_deleted(enter: Enter) -> None:
    async with enter(Program.WAITS) as world:
        await done(world, *CREATED, DeleteContainer("app"), DeleteContainer("app"))
        assert (await world.look()).containers["app"] == Absent()


@pytest.mark.parametrize("cut_off", ["create", "start"])
async def test_a_restart_goes_on_where_another_was_cut_off(
    containerd: DaemonPaths, cut_off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between removing the ended process, making the next and starting it."""

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the agent died here")

    enter = partial(on_this_machine, containerd=containerd.socket)
    async with cleaned(enter, Program.COUNTS) as world:
        await done(world, *STARTED)
        await until_not_running(world)
        world.answer(await seen(world))
        assert isinstance(world.host, RealHost)
        with monkeypatch.context() as patch:
            patch.setattr(world.host.client.tasks, cut_off, away)
            assert isinstance(await world.act(RestartContainer("app")), Again)
        left = Running.UNSTARTED if cut_off == "create" else Running.CREATED
        assert (await seen(world)).running is left
        await done(world, RestartContainer("app"))
        await until(world, lambda look: look.state.exit_code == 2)


async def test_while_containerd_is_away_nothing_is_concluded(containerd: DaemonPaths) -> None:
    daemon = containerd.embedded()
    async with cleaned(
        partial(on_this_machine, containerd=containerd.socket), Program.WAITS
    ) as world:
        await done(world, *STARTED)
        before = await seen(world)
        await daemon.stop()
        try:
            view = await world.look()
            assert isinstance(view.containers["app"], Unknown)
            assert isinstance(view.networks["app"], Seen)
            assert view.task == Seen(None)
            for action in (CreateContainer("app"), Signal("app", SIGTERM), DeleteContainer("app")):
                assert isinstance(await world.act(action), Again)
        finally:
            await daemon.start()
            daemon.release()
        await until(world, lambda look: look.state == before)
