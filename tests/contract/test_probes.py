"""What health probes leave behind on this machine: nothing, however they or their agent ended."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from agent.containerd.errors import NotFound
from agent.host.containers import probes, shims
from agent.host.host import RealHost
from agent.task import names
from agent.task.actions import Done, Probe, Probed, Signal
from agent.task.definition import HealthCheck
from tests.contract.host_worlds import Program, World, on_this_machine
from tests.contract.test_host import (
    DEADLINE_S,
    STARTED,
    cleaned,
    done,
    until_healthy,
    until_not_running,
)
from tests.system.containerd_daemon import DaemonPaths

LEFT = "probe-0123456789ab"


class Site:
    """A container that runs and is healthy."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.host, RealHost)
        self.world = world
        self.host = world.host
        self.client = world.host.client
        self.key = names.container_id(world.task.id, "app")
        self.folder = world.host.names.container_dir(world.task.id, "app")
        self.pipe = self.folder / f"{LEFT}.output"

    def pipes(self) -> list[Path]:
        return list(self.folder.glob("probe-*"))

    async def probe(self, *command: str) -> Probed:
        check = HealthCheck(command=("CMD", *command), timeout=2)
        privacy = self.host.containers.privacy
        return await probes.probe(
            self.client, self.host.names, privacy, self.world.task, "app", check
        )

    async def leave(self, *command: str) -> None:
        """As a probe of an agent that is killed before it starts it."""
        os.mkfifo(self.pipe)
        spec = json.loads((await self.client.containers.get(self.key)).spec)
        process = json.dumps({**spec["process"], "args": command}).encode()
        address = f"file://{self.pipe}"
        await self.client.tasks.exec(self.key, LEFT, process, stdout=address, stderr=address)

    async def until_opened(self) -> None:
        """The probe begins: its shim opens the pipe."""
        (shim,) = shims.of(self.client.namespace, self.client.socket, [self.key])
        async with asyncio.timeout(DEADLINE_S):
            while not _waits_at_a_pipe(shim):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)

    async def is_known(self, exec_id: str) -> bool:
        """Whether the shim keeps a process under that id."""
        try:
            await self.client.tasks.get(self.key, exec_id)
        except NotFound:
            return False
        return True


def _waits_at_a_pipe(pid: int) -> bool:
    """Whether it has opened one that nobody has open at its other end (proc(5), wchan)."""
    with suppress(FileNotFoundError):  # threads come and go
        waiting = {each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/wchan")}
        return "wait_for_partner" in waiting
    return False


@pytest.fixture
async def site(containerd: DaemonPaths) -> AsyncIterator[Site]:
    async with cleaned(
        partial(on_this_machine, containerd=containerd.socket), Program.WAITS
    ) as world:
        await done(world, *STARTED)
        await until_healthy(world)
        yield Site(world)


@pytest.mark.parametrize(
    ("command", "code"), [("true", 0), ("false", 1), ("/nowhere", 126), ("sleep 3600", -1)]
)
async def test_a_probe_leaves_nothing_in_the_shim(
    site: Site, command: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, add = list[str](), site.client.tasks.exec

    async def noted(container_id: str, exec_id: str, *arguments: Any, **named: Any) -> None:
        made.append(exec_id)
        await add(container_id, exec_id, *arguments, **named)

    monkeypatch.setattr(site.client.tasks, "exec", noted)
    assert (await site.probe(*command.split())).exit_code == code
    (exec_id,) = made
    assert not await site.is_known(exec_id)
    assert site.pipes() == []


async def test_a_killed_agents_probe_that_did_not_begin_is_removed(site: Site) -> None:
    await site.leave("true")
    await removed_by_the_next(site)


async def test_a_killed_agents_probe_that_begins_holds_up_nobody(site: Site) -> None:
    """Least of all who asks the container to end."""
    await site.leave("true")
    async with asyncio.TaskGroup() as group:
        group.create_task(site.client.tasks.start(site.key, LEFT))
        await site.until_opened()
        await removed_by_the_next(site)
        assert await site.world.act(Signal("app", SIGTERM)) == Done()
        await until_not_running(site.world)


async def test_a_killed_agents_probe_that_runs_is_ended(site: Site) -> None:
    await site.leave("sleep", "3600")
    reader = os.open(site.pipe, os.O_RDWR)
    try:
        pid = await site.client.tasks.start(site.key, LEFT)
    finally:
        os.close(reader)
    await removed_by_the_next(site)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def removed_by_the_next(site: Site) -> None:
    """At its start, so that it finds all as if there had been no other."""
    await probes.end_left(site.client, site.host.names)
    assert not await site.is_known(LEFT)
    assert site.pipes() == []
    assert await site.world.act(Probe("app")) == Done(Probed(0, ""))
