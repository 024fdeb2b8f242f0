"""Namespaces that containers share: pinned for real, with a pause process that is only told of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest

from agent.containerd.errors import Unavailable
from agent.host.namespaces import orphans, pins, places
from agent.host.namespaces.pause import is_ending
from agent.host.namespaces.provider import Namespaces
from agent.task.model import Task, TaskId
from agent.task.names import Names
from agent.task.view import Absent, Seen, Unknown
from tests.unit.host import worlds
from tests.worlds import container

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

BOTH = {"pidMode": "task", "ipcMode": "task"}


@dataclass
class FakePauses:
    """``current`` is the process that a look shows; running it makes it ours."""

    current: int = 0
    error: Exception | None = None
    done: list[str] = field(default_factory=list)

    async def pid(self, task: Task) -> int:
        if self.error:
            raise self.error
        return self.current

    async def run(self, task: Task) -> int:
        self.done.append("run")
        self.current = os.getpid()
        return self.current

    async def release(self, task: Task) -> None:
        self.done.append("release")
        self.current = 0


@dataclass
class FakeCgroups:
    made: list[str] = field(default_factory=list)

    def ensure(self, task: Task) -> None:
        self.made.append(task.id)


@dataclass
class World:
    names: Names
    pauses: FakePauses = field(default_factory=FakePauses)
    cgroups: FakeCgroups = field(default_factory=FakeCgroups)

    @property
    def namespaces(self) -> Namespaces:
        return Namespaces(self.names, cast(Any, self.cgroups), cast(Any, self.pauses))

    def pinned(self, task: Task) -> dict[str, Path]:
        return {kind: self.names.pinned(kind, task.id) for kind in places.KINDS}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(worlds.names_below(tmp_path))
    yield made
    orphans.remove_orphans(made.names, ())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def task(**fields: object) -> Task:
    return worlds.task(container("web"), **fields)


async def test_everything_is_provided_seen_and_taken_back(world: World) -> None:
    made = task(**BOTH)
    namespaces, paths = world.namespaces, world.pinned(made)
    assert await namespaces.look(made) == Absent()
    for _ in range(2):
        await namespaces.provide(made)
        assert await namespaces.look(made) == Seen(None)
    assert paths["pid"].samefile("/proc/self/ns/pid")
    assert pins.is_pinned(paths["ipc"])
    assert not paths["ipc"].samefile("/proc/self/ns/ipc")
    assert pins.is_memory(paths["shm"])
    assert world.names.task_dir(made.id).exists(), "its release takes back what is half there"
    assert set(world.cgroups.made) == {made.id}
    for _ in range(2):
        await namespaces.take_back(made)
        assert await namespaces.look(made) == Absent()
    assert not any(each.exists() for each in paths.values())


async def test_a_second_provision_keeps_what_containers_have_already(world: World) -> None:
    made = task(ipcMode="task")
    await world.namespaces.provide(made)
    paths = world.pinned(made)
    (paths["shm"] / "note").write_text("kept")
    before = paths["ipc"].stat().st_ino
    await world.namespaces.provide(made)
    assert (paths["shm"] / "note").read_text() == "kept"
    assert paths["ipc"].stat().st_ino == before
    assert world.pauses.done == []
    await world.namespaces.take_back(made)
    assert world.pauses.done == []


@pytest.mark.parametrize(("asked", "size"), [((), 64), ((7, 9), 9)])
async def test_shared_memory_is_the_largest_that_is_asked_for(
    world: World, asked: tuple[int, ...], size: int
) -> None:
    wants = [{"linuxParameters": {"sharedMemorySize": each}} for each in asked] or [{}]
    every = [container(f"c{number}", **fields) for number, fields in enumerate(wants)]
    made = worlds.task(*every, ipcMode="task")
    await world.namespaces.provide(made)
    found = os.statvfs(world.pinned(made)["shm"])
    assert found.f_blocks * found.f_frsize == size * 2**20
    options = subprocess.run(
        ["findmnt", "-no", "OPTIONS", world.pinned(made)["shm"]], capture_output=True, text=True
    ).stdout
    assert {"nosuid", "nodev", "noexec"} <= set(options.strip().split(","))


async def test_what_is_half_there_is_absent_and_made_whole(world: World) -> None:
    made = task(**BOTH)
    world.pinned(made)["ipc"].parent.mkdir(parents=True)
    world.pinned(made)["ipc"].touch()
    assert await world.namespaces.look(made) == Absent()
    await world.namespaces.provide(made)
    pins.unpin(world.pinned(made)["pid"])
    assert await world.namespaces.look(made) == Absent()
    await world.namespaces.provide(made)
    assert await world.namespaces.look(made) == Seen(None)


async def test_without_its_pause_process_a_pid_namespace_is_absent(world: World) -> None:
    made = task(pidMode="task")
    await world.namespaces.provide(made)
    world.pauses.current = 0
    assert await world.namespaces.look(made) == Absent()


async def test_a_namespace_of_another_process_is_pinned_anew(world: World) -> None:
    made = task(pidMode="task")
    path = world.pinned(made)["pid"]
    pins.pin(Path("/proc/self/ns/uts"), path)
    await world.namespaces.provide(made)
    assert path.samefile("/proc/self/ns/pid")


async def test_while_containerd_is_away_nothing_is_concluded(world: World) -> None:
    made = task(pidMode="task")
    await world.namespaces.provide(made)
    world.pauses.error = Unavailable("gone", "gone")
    assert isinstance(await world.namespaces.look(made), Unknown)


def test_containers_join_by_paths_that_follow_from_the_task(tmp_path: Path) -> None:
    names = worlds.names_below(tmp_path)
    both, none, pid = task(**BOTH), task(), task(pidMode="task", ipcMode="host")
    shared = places.shared(both, names)
    assert (shared.pid, shared.ipc, shared.memory) == tuple(
        str(names.pinned(kind, both.id)) for kind in places.KINDS
    )
    assert places.shared(none, names) == type(shared)()
    assert (places.shared(pid, names).pid, places.shared(pid, names).ipc) == (shared.pid, None)


async def test_orphans_are_those_of_no_task(world: World) -> None:
    made, gone = task(**BOTH), TaskId("f" * 32)
    await world.namespaces.provide(made)
    stray = world.names.pinned("shm", gone)
    pins.mount_memory(stray, 1)
    assert orphans.find_orphans(world.names, [made.id]) == [stray]
    orphans.remove_orphans(world.names, [made.id])
    assert orphans.find_orphans(world.names, [made.id]) == []
    assert not stray.exists()
    assert await world.namespaces.look(made) == Seen(None)


def test_a_process_ends_once(tmp_path: Path) -> None:
    assert not is_ending(os.getpid())
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_ending(child.pid), "a zombie"
    assert is_ending(child.pid)


def test_what_can_not_be_mounted_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"can't pin {tmp_path / 'pinned/x'}"):
        pins.pin(tmp_path / "none", tmp_path / "pinned/x")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can go through, as the agent's run directory."""
    with TemporaryDirectory() as path:
        Path(path).chmod(0o711)
        yield Path(path)


def test_no_other_user_of_the_host_gets_at_shared_memory(open_directory: Path) -> None:
    memory = worlds.names_below(open_directory).pinned("shm", TaskId("1" * 32))
    pins.mount_memory(memory, 1)
    try:
        command = ["touch", str(memory / "file")]
        ran = subprocess.run(command, user=65534, capture_output=True, text=True)
        assert "Permission denied" in ran.stderr
        assert list(memory.iterdir()) == []
    finally:
        pins.unmount_memory(memory)
