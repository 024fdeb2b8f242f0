"""The pause process: what its container is, and what becomes of failures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from agent.containerd.errors import AlreadyExists, ContainerdError, NotFound
from agent.containerd.types import ContainerRecord, Exit, Process, Status
from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import facts, shims
from agent.host.containers.lifecycle import RuntimeSettings
from agent.host.containers.processes import Processes
from agent.host.containers.runtimes import Runtimes
from agent.host.namespaces import pause
from agent.host.namespaces.pause import Pauses
from agent.host.provisions import ProvisionError, ProvisionUnavailable
from agent.oci.inputs import HostFacts
from agent.task import names
from agent.task.definition.linux_rules import CAPABILITIES
from agent.task.model import Task
from tests.unit.host import worlds
from tests.worlds import container

SHARING = worlds.task(container("web"), pidMode="task")
KEY = names.pause_id(SHARING.id)


@dataclass
class FakeRuntime:
    """containerd's tasks and records, as far as one pause process needs them."""

    namespace: str = "test"
    socket: Path = Path("/nowhere.sock")
    records: dict[str, ContainerRecord] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    cut_short: set[str] = field(default_factory=set)
    refusal: ContainerdError | None = None
    short_lived: bool = False

    @property
    def containers(self) -> Any:
        return _Records(self.records)

    @property
    def tasks(self) -> Any:
        return self

    async def get(self, key: str) -> Process:
        if key not in self.statuses:
            raise NotFound(key, "no such task")
        return Process(key, "", 1, self.statuses[key])

    async def create(self, key: str, root: object, *, timeout: float, **stdio: object) -> int:
        if self.refusal:
            raise self.refusal
        if key in self.cut_short:
            raise AlreadyExists(key, "there is one")
        self.statuses[key] = Status.CREATED
        return 1

    async def start(self, key: str, *, timeout: float) -> int:
        if key in self.cut_short:
            raise NotFound(key, "container not created")
        self.statuses[key] = Status.STOPPED if self.short_lived else Status.RUNNING
        return 1

    async def kill(self, key: str, number: int, *, everyone: bool) -> None:
        self.statuses[key] = Status.STOPPED

    async def wait(self, key: str, *, timeout: float) -> Exit:
        return Exit(137, 1.0)

    async def delete(self, key: str) -> Exit:
        if key not in self.statuses:
            self.cut_short.discard(key)
            raise NotFound(key, "no such task")
        del self.statuses[key]
        return Exit(137, 1.0)


@dataclass
class _Records:
    records: dict[str, ContainerRecord]

    async def create(self, record: ContainerRecord) -> None:
        self.records[record.id] = record

    async def delete(self, key: str) -> None:
        if self.records.pop(key, None) is None:
            raise NotFound(key, "no such container")


@pytest.fixture(autouse=True)
def _as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "init_program", lambda: "/usr/bin/catatonit")
    monkeypatch.setattr(pause, "is_ending", lambda pid: False)
    monkeypatch.setattr(shims, "end_leftover", lambda *asked: [])


def pauses(runtime: FakeRuntime, folder: Path) -> Pauses:
    host = HostFacts(1, "x86_64", CAPABILITIES)
    settings = RuntimeSettings(Runtimes(), create_timeout_s=1, start_timeout_s=1)
    processes = Processes(cast(Any, runtime), Cgroups(folder), settings.create_timeout_s)
    return Pauses(cast(Any, runtime), worlds.names_below(folder), host, settings, processes)


def made(runtime: FakeRuntime) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(runtime.records[KEY].spec)
    return spec


async def test_its_container_can_do_nothing_but_wait(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    assert await pauses(runtime, tmp_path).run(SHARING) == 1
    spec = made(runtime)
    assert spec["process"]["args"] == ["/pause", "-P"]
    assert spec["process"]["capabilities"]["bounding"] == []
    assert spec["process"]["noNewPrivileges"]
    assert spec["root"]["readonly"]
    assert "seccomp" in spec["linux"]
    kinds = {each["type"]: each.get("path") for each in spec["linux"]["namespaces"]}
    assert kinds == dict.fromkeys(("mount", "uts", "pid", "ipc", "network"))
    assert spec["linux"]["cgroupsPath"] == f"/test/{SHARING.id}/{KEY}"
    assert list(spec["annotations"].values()) == [SHARING.id]
    assert runtime.records[KEY].labels["com.amazonaws.ecs.task-arn"] == SHARING.arn


async def test_it_is_run_once_and_removed_whole(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    every = pauses(runtime, tmp_path)
    assert await every.pid(SHARING) == 0
    for _ in range(2):
        assert await every.run(SHARING) == 1
    assert await every.pid(SHARING) == 1
    for _ in range(2):
        await every.release(SHARING)
    assert (runtime.records, runtime.statuses) == ({}, {})
    assert not list(worlds.names_below(tmp_path).task_dir(SHARING.id).iterdir())


@pytest.mark.parametrize("status", [Status.STOPPED, Status.CREATED])
async def test_one_that_does_not_run_is_made_anew(tmp_path: Path, status: Status) -> None:
    runtime = FakeRuntime(statuses={KEY: status})
    assert await pauses(runtime, tmp_path).run(SHARING) == 1
    assert runtime.statuses == {KEY: Status.RUNNING}


async def test_one_whose_creation_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    """containerd was killed meanwhile: it knows of one, and its shim has none."""
    runtime = FakeRuntime(cut_short={KEY})
    assert await pauses(runtime, tmp_path).run(SHARING) == 1
    assert (runtime.statuses, runtime.cut_short) == ({KEY: Status.RUNNING}, set())


async def test_one_whose_creation_may_be_under_way_is_left_alone(tmp_path: Path) -> None:
    """An earlier agent asked for it: containerd knows of it, and its shim does not yet."""
    runtime = FakeRuntime(cut_short={KEY})
    making = pauses(runtime, tmp_path)
    making._directory(SHARING.id).mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(ProvisionUnavailable):
            await making.run(SHARING)
    assert runtime.cut_short == {KEY}


async def test_one_that_is_ending_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(statuses={KEY: Status.RUNNING})
    monkeypatch.setattr(pause, "is_ending", lambda pid: True)
    assert await pauses(runtime, tmp_path).pid(SHARING) == 0


async def test_without_an_init_program_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "init_program", lambda: None)
    with pytest.raises(ProvisionError, match="catatonit"):
        await pauses(FakeRuntime(), tmp_path).run(SHARING)


async def test_a_runtime_that_is_gone_is_told(tmp_path: Path) -> None:
    old = replace(SHARING, runtimes={"web": "old"})
    with pytest.raises(ProvisionError, match="runtime old is no longer configured"):
        await pauses(FakeRuntime(), tmp_path).run(old)


async def test_one_that_ends_at_once_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ProvisionUnavailable, match="at once"):
        await pauses(FakeRuntime(short_lived=True), tmp_path).run(SHARING)


async def test_a_refusal_counts_unless_an_earlier_creation_may_be_in_the_way(
    tmp_path: Path,
) -> None:
    runtime = FakeRuntime(refusal=ContainerdError("create: runc: no", "runc: no"))
    with pytest.raises(ContainerdError, match="runc: no"):
        await pauses(runtime, tmp_path).run(SHARING)
    with pytest.raises(ProvisionUnavailable, match="runc: no"):
        await pauses(runtime, tmp_path).run(SHARING)


def test_only_the_task_of_a_shim_loses_it() -> None:
    other: Task = worlds.task(container("web"), pidMode="task")
    assert names.pause_id(other.id) == KEY
    assert KEY not in {names.container_id(SHARING.id, each.name) for each in SHARING.containers}
