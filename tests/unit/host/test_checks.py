"""What the doctor finds wrong with a network, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.containerd.types import ContainerRecord
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers.keepsakes import Owned
from agent.host.containers.runtimes import Runtime, Runtimes
from agent.host.leftovers.checks import Alive, Doctor
from agent.host.leftovers.orphans import Orphan
from agent.host.leftovers.strays import Stray
from agent.settings import Settings
from agent.task.model import TaskId
from agent.task.names import Names
from cni.errors import CNIError, Code
from cni.faults import blackhole
from cni.firewall import coexistence, ruleset

ALIVE = Alive(
    [TaskId("task-one"), TaskId("task-two")], ["s1", "s2"], (TaskId("task-one"), TaskId("over"))
)


class Lost:
    """Containers of tasks that nobody knows."""

    def __init__(self) -> None:
        self.there: list[Stray] = []
        self.folders: list[Path] = []

    async def find(self, known: Collection[TaskId]) -> list[Stray]:
        assert known == ALIVE.known
        return list(self.there)

    async def remove(self, stray: Stray) -> None:
        self.there.remove(stray)

    async def data(self, known: Collection[TaskId]) -> list[Path]:
        assert set(known) == {*ALIVE.known, *(each.task_id for each in self.there)}
        return list(self.folders)

    async def remove_data(self, known: Collection[TaskId]) -> list[Path]:
        gone, self.folders = self.folders, []
        return gone


class Sick:
    """A network side of which anything can be wrong; ``told`` is what it was asked to do."""

    settings = Settings(task_roles=Path("/nowhere/roles"))
    networks = SimpleNamespace(bridge="the bridge")

    def __init__(self) -> None:
        self.orphans: list[Orphan] = []
        self.table = True
        self.blocked: tuple[str, ...] = ()
        self.unwell: CNIError | None = None
        self.limit: int | None = 0
        self.held_by: set[str] = set()
        self.holes: list[str] = []
        self.told: list[tuple[Any, ...]] = []
        self.strays = Lost()
        self.runtimes = Runtimes("sound", {"sound": Runtime("sound", shim="/bin/sh")})
        self.cgroups = TaskCgroups(Names(Path("/run"), Path("/state"), "/test", "tv"))

    @property
    def thread(self) -> Any:
        return self

    async def run(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    @property
    def context(self) -> Any:
        return SimpleNamespace(firewall="firewall")

    def status(self, network: object) -> None:
        assert network == "the bridge"
        if self.unwell:
            raise self.unwell

    @property
    def interfaces(self) -> Any:
        return SimpleNamespace(provider=self)

    def held(self, task_id: TaskId) -> bool:
        return task_id in self.held_by

    async def find_orphans(self, alive: Collection[str], tasks: Collection[TaskId]) -> list[Orphan]:
        theirs = [one for each in self.strays.there for one in each.sandboxes]
        unknown = [each.task_id for each in self.strays.there]
        assert (alive, tasks) == ([*ALIVE.sandboxes, *theirs], [*ALIVE.tasks, *unknown])
        return self.orphans

    async def remove_orphans(self, alive: Collection[str], tasks: Collection[TaskId]) -> list[str]:
        self.told.append(("remove", alive, tasks))
        removed, self.orphans = self.orphans, []
        return list(map(str, removed))

    async def open_firewall(self) -> tuple[str, ...]:
        self.told.append(("open firewall",))
        opened = tuple(f"opened {each}" for each in self.blocked)
        self.table, self.blocked = True, ()
        return opened


@pytest.fixture
def sick(monkeypatch: pytest.MonkeyPatch) -> Sick:
    made = Sick()

    def is_current(table: str, firewall: object) -> bool:
        assert (table, firewall) == ("hostler", "firewall")
        return made.table

    def blocked_by(table: str, bridges: Collection[str]) -> tuple[str, ...]:
        assert (table, bridges) == ("hostler", ["hostler0"])
        return made.blocked

    def started(table: str) -> list[str]:
        assert table == "hostler-faults"
        return made.holes

    monkeypatch.setattr(ruleset, "is_current", is_current)
    monkeypatch.setattr(blackhole, "started", started)
    monkeypatch.setattr(coexistence, "blocked_by", blocked_by)
    return made


def doctor_of(sick: Sick) -> Doctor:
    return Doctor(cast(Any, sick), sick.runtimes, sick.cgroups, cast(Any, sick.strays))


async def found(sick: Sick) -> list[tuple[str, str]]:
    findings = await doctor_of(sick).find(ALIVE)
    assert all(each.cure for each in findings)
    assert sick.told == [], "looking changes nothing"
    return [(each.check, each.what) for each in findings]


async def test_on_a_sound_host_nothing_is_found(sick: Sick) -> None:
    assert await found(sick) == []


async def test_everything_is_found_at_once_in_order(sick: Sick) -> None:
    sick.orphans = [Orphan("interface", "hv1"), Orphan("lease", "10.213.0.9 of hostler0")]
    sick.table = False
    sick.blocked = ("iptables: the chain FORWARD",)
    sick.unwell = CNIError(Code.PLUGIN_NOT_AVAILABLE, "no address is left")
    sick.limit, sick.held_by = 1, {"task-one"}
    sick.holes = ["egress-tcp-443"]
    broken = Runtime("vm", shim="io.containerd.nosuch.v2", config="/nowhere/vm.toml")
    sick.runtimes = Runtimes("vm", {"vm": broken})
    sick.cgroups = replace(sick.cgroups, unlimited_because="there is no controller memory")
    assert await found(sick) == [
        ("orphans", "interface hv1 belongs to no task"),
        ("orphans", "lease 10.213.0.9 of hostler0 belongs to no task"),
        ("firewall", "nftables table inet hostler is missing or not of this version"),
        ("forwarding", "iptables: the chain FORWARD; packets of containers may be dropped there"),
        ("addresses", "no container can be attached: no address is left"),
        ("interfaces", "all 1 network interfaces for tasks are held"),
        (
            "faults",
            "a task in host mode asked for the blackhole egress-tcp-443, which is the whole host's",
        ),
        (
            "runtimes",
            "runtime vm needs containerd-shim-nosuch-v2, which this host does not have",
        ),
        ("runtimes", "runtime vm needs /nowhere/vm.toml, which this host does not have"),
        ("limits", "tasks have no limits of CPU and memory: there is no controller memory"),
    ]


@pytest.mark.parametrize(
    ("limit", "held", "wrong"),
    [
        (None, {"task-one", "task-two"}, False),
        (0, set(), False),
        (2, {"task-one"}, False),
        (2, {"task-one", "task-two"}, True),
        (1, {"task-of-the-past"}, False),
    ],
)
async def test_interfaces_are_short_when_tasks_that_live_hold_all(
    sick: Sick, limit: int | None, held: set[str], wrong: bool
) -> None:
    sick.limit, sick.held_by = limit, held
    assert [check for check, _ in await found(sick)] == ["interfaces"] * wrong


async def test_mending_removes_orphans_and_opens_the_firewall(sick: Sick) -> None:
    sick.orphans = [Orphan("interface", "hv1")]
    sick.table, sick.blocked = False, ("iptables",)
    doctor = doctor_of(sick)
    assert await doctor.mend(ALIVE) == ["removed interface hv1", "opened iptables"]
    assert sick.told == [("remove", ["s1", "s2"], ["task-one", "task-two"]), ("open firewall",)]
    assert await doctor.find(ALIVE) == []


async def test_every_section_of_the_roles_file_that_can_not_be_used_is_found(
    sick: Sick, tmp_path: Path
) -> None:
    path = tmp_path / "roles"
    path.touch(mode=0o600)
    path.write_text("[default]\nsource = sts\n[one]\nkey = 1\n[two]\nsource = st\n")
    sick.settings = Settings(task_roles=path)
    assert [check for check, _ in await found(sick)] == ["roles", "roles"]
    path.chmod(0o644)
    ((check, what),) = await found(sick)
    assert (check, what) == ("roles", f"{path} is open to others (mode 0644): chmod 600 {path}")


async def test_containers_of_an_unknown_task_are_named_and_keep_their_network(sick: Sick) -> None:
    record = ContainerRecord("c" * 64, b"{}")
    task_id = TaskId("f" * 32)
    sick.strays.there = [Stray(task_id, (Owned(task_id, "web", record),), ("web",))]
    assert await found(sick) == [("strays", f"task {task_id} (web) is not known, and web runs")]
    doctor = doctor_of(sick)
    assert f"removed task {task_id} (web)" in await doctor.mend(ALIVE)
    assert await doctor.find(ALIVE) == []


async def test_what_tasks_that_are_not_known_have_written_is_named_and_deleted(sick: Sick) -> None:
    folder = Path("/var/lib/hostler/logs") / ("f" * 32)
    sick.strays.folders = [folder]
    assert await found(sick) == [("data", f"{folder} is of a task that is not known")]
    doctor = doctor_of(sick)
    assert f"removed {folder}" in await doctor.mend(ALIVE)
    assert await doctor.find(ALIVE) == []
