"""Containers of tasks that nobody knows: what runs is left alone, the rest goes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from agent.containerd.errors import DeadlineExceeded, NotFound, Unavailable
from agent.containerd.types import (
    ContainerRecord,
    Exit,
    Process,
    SnapshotInfo,
    SnapshotKind,
    Status,
)
from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import shims
from agent.host.leftovers.strays import Strays, remove_idle
from agent.task import names
from agent.task.model import TASK_SANDBOX, TaskId, first_progress
from agent.task.names import Names
from agent.task.view import Running
from tests.unit.host.test_keepsakes import record
from tests.unit.host.worlds import names_below
from tests.worlds import container, task

ONE = task(container("web"), container("side"), task_id="1" * 32)


@dataclass
class FakeContainerd:
    """Records, processes by container id, and snapshots. ``stubborn`` ignore SIGTERM."""

    records: dict[str, ContainerRecord] = field(default_factory=dict)
    processes: dict[str, Status] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    signals: list[tuple[str, int]] = field(default_factory=list)
    namespace: str = "hostler"
    socket: Path = Path("/nowhere")

    @property
    def containers(self) -> Any:
        return _Part(list=self._list, delete=self._delete(self.records))

    @property
    def snapshots(self) -> Any:
        return _Part(list=self._snapshots, remove=self._delete(self.kept))

    @property
    def tasks(self) -> Any:
        return _Part(
            get=self._get, kill=self._kill, wait=self._wait, delete=self._delete(self.processes)
        )

    async def _list(self) -> tuple[ContainerRecord, ...]:
        return tuple(self.records.values())

    async def _snapshots(self, filters: object) -> list[SnapshotInfo]:
        return [SnapshotInfo(each, "", SnapshotKind.ACTIVE, {}) for each in sorted(self.kept)]

    def _delete(self, things: Any) -> Any:
        async def delete(key: str) -> None:
            if key not in things:
                raise NotFound(key)
            things.remove(key) if isinstance(things, set) else things.pop(key)

        return delete

    async def _get(self, key: str) -> Process:
        if key in self.away:
            raise Unavailable("its shim does not answer")
        if key not in self.processes:
            raise NotFound(key)
        return Process(key, "", 7, self.processes[key], 0, 0.0)

    async def _kill(self, key: str, number: int, everyone: bool = False) -> None:
        self.signals.append((key, number))
        if number == 9 or key not in self.stubborn:
            self.processes[key] = Status.STOPPED

    async def _wait(self, key: str, timeout: float) -> Exit:
        if self.processes[key] is not Status.STOPPED:
            raise DeadlineExceeded("it runs on")
        return Exit(0, 0.0)


class _Part:
    def __init__(self, **calls: Any) -> None:
        self.__dict__.update(calls)


class Router:
    async def close(self, key: str) -> None:
        """Nothing is open."""


@pytest.fixture
def of(tmp_path: Path) -> Names:
    return names_below(tmp_path)


@pytest.fixture
def host(of: Names, monkeypatch: pytest.MonkeyPatch) -> FakeContainerd:
    """Both containers of the task have a record and a snapshot."""
    made = FakeContainerd()
    for name in ("web", "side"):
        found = record(of, ONE, name, first_progress(ONE))
        made.records[found.id] = found
        made.kept.add(found.id)
    monkeypatch.setattr(shims, "end_leftover", lambda *_: [])
    return made


def key(name: str) -> str:
    return names.container_id(ONE.id, name)


def strays_of(host: FakeContainerd, of: Names, tmp_path: Path) -> Strays:
    cgroups = Cgroups(tmp_path / "cgroup")
    (tmp_path / "cgroup").mkdir(exist_ok=True)
    (tmp_path / "cgroup" / "cgroup.controllers").touch()
    return Strays(cast(Any, host), cast(Any, Router()), cgroups, of, "/test")


async def test_containers_of_a_known_task_are_no_strays(
    host: FakeContainerd, of: Names, tmp_path: Path
) -> None:
    strays = strays_of(host, of, tmp_path)
    assert await strays.find([ONE.id]) == []
    (found,) = await strays.find([])
    assert {each.name for each in found.containers} == {"web", "side"}
    assert found.running == ()
    whole = names.container_id(ONE.id, TASK_SANDBOX)
    assert set(found.sandboxes) == {whole, key("web"), key("side")}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status.CREATED, Running.CREATED),
        (Status.RUNNING, Running.RUNNING),
        (Status.PAUSED, Running.RUNNING),
        (Status.PAUSING, Running.RUNNING),
        (Status.UNKNOWN, Running.RUNNING),
        (Status.STOPPED, Running.STOPPED),
        (None, None),
    ],
)
async def test_what_may_run_counts_as_running(
    host: FakeContainerd, of: Names, tmp_path: Path, status: Status | None, state: Running | None
) -> None:
    if status is not None:
        host.processes[key("web")] = status
    host.away.add(key("side"))
    strays = strays_of(host, of, tmp_path)
    containers = (await strays.containers())[ONE.id]
    states = await strays.processes(containers)
    by_name = dict(zip((each.name for each in containers), states, strict=True))
    assert by_name == {"web": state, "side": Running.RUNNING}


async def test_what_does_not_run_is_removed_and_what_runs_is_left(
    host: FakeContainerd, of: Names, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strays = strays_of(host, of, tmp_path)
    host.processes[key("web")] = Status.RUNNING
    left = await remove_idle(strays, await strays.find([]))
    assert [each.running for each in left] == [("web",)]
    assert host.signals == []
    host.processes = {key("web"): Status.STOPPED, key("side"): Status.CREATED}
    of.task_dir(ONE.id).mkdir(parents=True)
    assert await remove_idle(strays, await strays.find([])) == []
    assert (host.records, host.processes, host.kept) == ({}, {}, set())
    assert not of.task_dir(ONE.id).exists()
    assert "which is not known and did not run" in caplog.text


async def test_no_socket_of_a_shim_is_left_of_what_is_removed(
    host: FakeContainerd, of: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shims, "SOCKETS", tmp_path / "s")
    (tmp_path / "s").mkdir()
    strays = strays_of(host, of, tmp_path)
    others = tmp_path / "s" / sha256(b"/nowhere/hostler/another").hexdigest()
    others.touch()
    for group in (ONE.id, key("web")):
        name = sha256(f"/nowhere/hostler/{group}".encode()).hexdigest()
        (tmp_path / "s" / name).touch()
    (found,) = await strays.find([])
    await strays.remove(found)
    assert list((tmp_path / "s").iterdir()) == [others]


async def test_what_resists_is_told_and_left(
    host: FakeContainerd, of: Names, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strays = strays_of(host, of, tmp_path)
    found = await strays.find([])
    host.away.add(key("web"))
    assert await remove_idle(strays, found) == found
    assert f"can't remove what is left of task {ONE.id}" in caplog.text


async def test_what_runs_is_asked_to_end_and_then_made_to(
    host: FakeContainerd, of: Names, tmp_path: Path
) -> None:
    strays = strays_of(host, of, tmp_path)
    host.processes = {key("web"): Status.RUNNING, key("side"): Status.RUNNING}
    host.stubborn = {key("side")}
    (found,) = await strays.find([])
    await strays.remove(found)
    assert sorted(host.signals) == sorted([(key("web"), 15), (key("side"), 15), (key("side"), 9)])
    assert (host.records, host.processes, host.kept) == ({}, {}, set())


async def test_directories_cgroups_and_snapshots_of_unknown_tasks_are_swept(
    host: FakeContainerd, of: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = strays_of(host, of, tmp_path)
    gone, kept = TaskId("a" * 32), TaskId("b" * 32)
    for each in (gone, kept):
        of.task_dir(each).mkdir(parents=True)
        (tmp_path / "cgroup" / "test" / each).mkdir(parents=True)
    others = of.task_dir(TaskId("not-a-task"))
    others.mkdir()
    host.kept |= {"f" * 64, "sha256:layer"}
    told = await strays.sweep([kept, ONE.id], [key("web"), key("side")])
    assert told == [
        f"cgroup of task {gone}",
        f"directory of task {gone}",
        f"snapshot {'f' * 64}",
    ]
    assert sorted(each.name for each in others.parent.iterdir()) == [kept, "not-a-task"]
    assert await strays.sweep([kept, ONE.id], [key("web"), key("side")]) == []


async def test_a_directory_with_a_mount_below_it_is_not_swept(
    host: FakeContainerd, of: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = of.task_dir(TaskId("a" * 32))
    (directory / "data").mkdir(parents=True)
    real = Path.read_text

    def mounts(path: Path, *args: Any, **options: Any) -> str:
        if str(path) == "/proc/self/mountinfo":
            return f"36 35 98:0 / {directory}/data rw - ext4 /dev/sda rw\n"
        return real(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", mounts)
    assert await strays_of(host, of, tmp_path).sweep([], host.kept) == []
    assert (directory / "data").exists()


async def test_logs_and_volumes_of_unknown_tasks_are_found_and_deleted(
    host: FakeContainerd, of: Names, tmp_path: Path
) -> None:
    strays = strays_of(host, of, tmp_path)
    gone, kept = TaskId("a" * 32), TaskId("b" * 32)
    for each in (gone, kept):
        of.log(each, "web").parent.mkdir(parents=True)
        of.volumes(each).mkdir(parents=True)
        of.task_metadata_dir(each).mkdir(parents=True)
    (of.volumes(gone).parent / "shared").mkdir()
    theirs = {of.log(gone, "web").parent, of.volumes(gone), of.task_metadata_dir(gone)}
    assert set(await strays.data([kept])) == theirs
    assert set(await strays.remove_data([kept])) == theirs
    assert await strays.data([kept]) == []
    assert of.volumes(kept).exists()
    assert (of.volumes(gone).parent / "shared").exists()


async def test_data_nested_deeper_than_pythons_stack_goes(
    host: FakeContainerd, of: Names, tmp_path: Path
) -> None:
    volumes = of.volumes(TaskId("c" * 32))
    volumes.mkdir(parents=True)
    here = os.open(volumes, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    assert await strays_of(host, of, tmp_path).remove_data([]) == [volumes]
    assert not volumes.exists()
