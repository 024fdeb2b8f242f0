"""Our own containerd: found, restarted, replaced, while containers live on."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd, EmbeddedError
from agent.containerd.errors import NotFound, Unavailable
from agent.containerd.events import Event, Gap
from agent.containerd.payloads import TaskExit
from agent.containerd.types import Status
from agent.host.cgroups.kernel import Cgroups
from tests.system.containerd_daemon import (
    DaemonPaths,
    busybox_image,
    make_container,
    private_containerd,
    run_container,
    shims,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containerd needs root")

END_S = 60.0


@pytest.fixture
def paths() -> Iterator[DaemonPaths]:
    with private_containerd() as paths:
        yield paths


@pytest.fixture
async def daemon(paths: DaemonPaths) -> AsyncIterator[EmbeddedContainerd]:
    daemon = paths.embedded()
    await daemon.start()
    yield daemon
    daemon.release()


@pytest.fixture
async def client(paths: DaemonPaths) -> AsyncIterator[Containerd]:
    namespace = f"e{secrets.token_hex(4)}"
    async with Containerd(paths.socket, namespace) as client:
        await client.namespaces.ensure(namespace)
        yield client
        with suppress(Unavailable):  # some tests stop it
            for left in await client.tasks.list():  # by a test that failed
                await end(client, left.container_id)
    Cgroups().remove(f"/{namespace}")


async def kill_nine(daemon: EmbeddedContainerd) -> None:
    """End the daemon as a crash would, and start it again."""
    await kill_and_wait(daemon)
    await daemon.start()


async def kill_and_wait(daemon: EmbeddedContainerd) -> None:
    assert daemon.pid is not None
    process = psutil.Process(daemon.pid)
    process.kill()
    await asyncio.to_thread(psutil.wait_procs, [process], END_S)


async def end(client: Containerd, container_id: str) -> int:
    """Kill and delete the container's task; gives its exit status."""
    await client.tasks.kill(container_id, signal.SIGKILL)
    await client.tasks.wait(container_id, timeout=END_S)
    return (await client.tasks.delete(container_id)).status


async def until_shims(paths: DaemonPaths, count: int) -> None:
    """There are so many, at once or after a moment: a process ends in several steps."""
    async with asyncio.timeout(END_S):
        while len(shims(paths)) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_served(client: Containerd) -> None:
    async with asyncio.timeout(END_S):
        while True:
            try:
                await client.version()
            except Unavailable:
                await asyncio.sleep(0.02)
            else:
                return


@pytest.mark.parametrize("group", ["", "task-1"])
async def test_containers_outlive_a_stop_and_a_kill_of_the_daemon(
    paths: DaemonPaths, daemon: EmbeddedContainerd, client: Containerd, group: str
) -> None:
    chain = await busybox_image(client)
    first = await run_container(client, chain, "a", "sleep", "100", group=group)
    second = await run_container(client, chain, "b", "sleep", "100", group=group)
    await until_shims(paths, 1 if group else 2)
    await daemon.stop()
    with pytest.raises(Unavailable):
        await client.tasks.get("a")
    await daemon.start()
    await until_served(client)
    assert (await client.tasks.get("a")).pid == first
    await kill_nine(daemon)
    await until_served(client)
    assert (await client.tasks.get("b")).pid == second
    assert await end(client, "a") == 137
    assert (await client.tasks.get("b")).status is Status.RUNNING
    assert await end(client, "b") == 137
    await until_shims(paths, 0)


async def test_a_container_that_ended_while_the_daemon_was_away_does_not_seem_to_run(
    paths: DaemonPaths, daemon: EmbeddedContainerd, client: Containerd
) -> None:
    chain = await busybox_image(client)
    pid = await run_container(client, chain, "a", "sleep", "100")
    program = psutil.Process(pid)
    await daemon.stop()
    program.kill()
    program.wait(END_S)
    await daemon.start()
    await until_served(client)
    try:
        ended = await client.tasks.wait("a", timeout=END_S)
    except NotFound:
        return  # from 1.7 on the daemon removes it at its start, and its exit status is lost
    assert ended.status == 137
    assert await client.tasks.delete("a") == ended


async def test_a_group_shares_one_shim_when_created_at_the_same_time(
    paths: DaemonPaths, daemon: EmbeddedContainerd, client: Containerd
) -> None:
    chain = await busybox_image(client)
    names = ["a", "b", "c"]
    for name in names:
        await make_container(client, chain, name, "sleep", "100", group="g")
    mounts = [await client.snapshots.mounts(name) for name in names]
    await asyncio.gather(
        *(client.tasks.create(name, each) for name, each in zip(names, mounts, strict=True))
    )
    await asyncio.gather(*(client.tasks.start(name) for name in names))
    await until_shims(paths, 1)
    for name in names:
        assert await end(client, name) == 137
    await until_shims(paths, 0)


async def test_the_rest_of_a_group_runs_on_when_its_first_container_is_deleted(
    paths: DaemonPaths, daemon: EmbeddedContainerd, client: Containerd
) -> None:
    chain = await busybox_image(client)
    for name in ("a", "b"):
        await run_container(client, chain, name, "sleep", "100", group="g")
    assert await end(client, "a") == 137
    assert (await client.tasks.get("b")).status is Status.RUNNING
    await kill_nine(daemon)
    await until_served(client)
    await run_container(client, chain, "c", "sleep", "100", group="g")
    await until_shims(paths, 1)
    assert await end(client, "b") == 137
    assert await end(client, "c") == 137
    with pytest.raises(NotFound):
        await client.tasks.get("c")
    await until_shims(paths, 0)


async def test_events_go_on_after_a_gap_when_the_daemon_was_away(
    paths: DaemonPaths, daemon: EmbeddedContainerd, client: Containerd
) -> None:
    chain = await busybox_image(client)
    await run_container(client, chain, "a", "sleep", "100")
    async with aclosing(client.events.subscribe()) as events, asyncio.timeout(END_S):
        assert isinstance(await anext(events), Gap)
        await kill_nine(daemon)
        gap = await anext(events)
        assert isinstance(gap, Gap)
        assert "Events.Subscribe" in gap.why
        await end(client, "a")
        event = await anext(events)
        assert isinstance(event, Event)
        assert isinstance(event.payload, TaskExit)


async def test_run_starts_it_again_when_it_dies_and_ends_when_it_is_stopped(
    daemon: EmbeddedContainerd, client: Containerd
) -> None:
    async with asyncio.timeout(END_S), asyncio.TaskGroup() as group:
        group.create_task(daemon.run())
        first = daemon.pid
        await kill_and_wait(daemon)
        await until_served(client)
        assert daemon.pid not in {None, first}
        await daemon.stop()


async def test_it_outlives_the_program_that_started_it(paths: DaemonPaths) -> None:
    stopped = paths.embedded()
    await stopped.stop()
    stopped.release()
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from tests.system.containerd_daemon import DaemonPaths\n"
        "async def main():\n"
        "    await DaemonPaths(pathlib.Path(sys.argv[1])).embedded().start()\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(paths.folder)], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    found = paths.embedded()
    await found.start()
    assert found.pid is not None
    assert psutil.Process(found.pid).ppid() != os.getpid()
    found.release()


async def test_a_recycled_pid_is_left_alone(paths: DaemonPaths, tmp_path: Path) -> None:
    daemon = EmbeddedContainerd(tmp_path, tmp_path, tmp_path / "s")
    other = Path("/proc/self/stat").read_text().split()
    other[21] = str(int(other[21]) - 1)
    (tmp_path / "containerd.pid").write_text(" ".join(other))
    await daemon.stop()
    assert daemon.pid is None


async def test_a_socket_that_somebody_else_serves_is_not_taken(
    paths: DaemonPaths, tmp_path: Path
) -> None:
    daemon = EmbeddedContainerd(tmp_path / "root", tmp_path / "state", paths.socket)
    with pytest.raises(EmbeddedError, match="another containerd"):
        await daemon.start()


async def test_a_daemon_that_can_t_start_shows_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "containerd"
    program.write_text("#!/bin/sh\necho it is broken\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    daemon = EmbeddedContainerd(tmp_path / "root", tmp_path / "state", tmp_path / "s")
    with pytest.raises(EmbeddedError, match="it is broken"):
        await daemon.start()
    daemon.release()


async def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    daemon = EmbeddedContainerd(tmp_path / "root", tmp_path / "state", tmp_path / "s")
    with pytest.raises(EmbeddedError, match="apt install containerd"):
        await daemon.start()
