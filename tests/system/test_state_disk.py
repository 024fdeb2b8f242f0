"""A disk that is really full: the API says so, nothing is half-kept, and the agent goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.engine.store import StoreError
from tests.unit.doors.agents import Agent, running
from tests.unit.doors.client import Refused
from tests.unit.doors.test_definitions import web
from tests.unit.doors.test_tasks import id_of, over, run, up


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True, timeout=10)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True, timeout=10)


def fill(disk: Path) -> Path:
    """A file that takes all that is left of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        file.write(b"x" * room)
    return ballast


async def run_until_refused(agent: Agent) -> Refused:
    """Fills what room the store has to itself (its WAL is reused) until a task is refused."""
    for _ in range(1000):
        try:
            await agent.client.call("RunTask", taskDefinition="web")
        except Refused as refused:
            return refused
    raise AssertionError("the disk never got full")


async def test_a_full_disk_refuses_tasks_until_there_is_room_again(small_disk: Path) -> None:
    async with running(small_disk) as agent:
        first = await run(agent)
        await up(agent, first)
        ballast = fill(small_disk)
        refused = await run_until_refused(agent)
        assert (refused.status, refused.code) == (500, "ServerException")
        assert "full" in refused.message
        with pytest.raises(StoreError, match="is full"):
            await agent.desk.store.check()
        kept = set(agent.desk.store.intents)
        assert (await agent.client.call("DescribeTasks", tasks=[id_of(first)]))["tasks"]
        ballast.unlink()
        await agent.client.call("RegisterTaskDefinition", **web(family="later"))
        await agent.client.call("StopTask", task=id_of(first))
        await over(agent, first)
    async with running(small_disk) as agent:
        assert set(agent.desk.store.intents) == kept
