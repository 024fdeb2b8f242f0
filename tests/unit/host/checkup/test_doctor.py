"""What the doctor finds wrong with a network, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.containerd.errors import Unavailable
from agent.containerd.types import ContainerRecord
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.checkup import host
from agent.host.checkup.doctor import Alive, Doctor
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Severity, Unseen
from agent.host.checkup.subject import Subject
from agent.host.containers.keepsakes import Owned
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
        self.hidden: Exception | None = None

    async def find(self, known: Collection[TaskId]) -> list[Stray]:
        if self.hidden:
            raise self.hidden
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


class Answering:
    """containerd, which answers."""

    async def version(self, *, timeout: float) -> object:
        return "1.7"


CLIENT = cast(Any, Answering())


class Sick:
    """A network side of which anything can be wrong; ``told`` is what it was asked to do."""

    settings = Settings(task_roles=Path("/nowhere/roles"))
    networks = SimpleNamespace(bridge="the bridge")

    def __init__(self) -> None:
        self.orphans: list[Orphan] = []
        self.table = True
        self.blocked: tuple[str, ...] = ()
        self.unwell: CNIError | None = None
        self.blind: CNIError | None = None
        self.limit: int | None = 0
        self.held_by: set[str] = set()
        self.holes: list[str] = []
        self.told: list[tuple[Any, ...]] = []
        self.strays = Lost()
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
        if self.blind:
            raise self.blind
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
    asked = cast(Any, sick), sick.cgroups, cast(Any, sick.strays)
    return Doctor(Subject(sick.settings), CLIENT, *asked)


@pytest.fixture(autouse=True)
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """What the checks of the host say; they have tests of their own."""
    outcomes: list[Outcome] = []

    async def examine(subject: Subject, client: object, *more: host.Named) -> list[Outcome]:
        assert client is CLIENT
        assert [name for name, _ in more] == ["resources"]
        return outcomes

    monkeypatch.setattr(host, "examine", examine)
    return outcomes


async def found(sick: Sick) -> list[tuple[str, str]]:
    findings = await doctor_of(sick).find(ALIVE)
    assert sick.told == [], "looking changes nothing"
    for each in findings:
        assert isinstance(each, Finding)
        assert each.cure
    return [(each.check, each.what) for each in findings if isinstance(each, Finding)]


async def test_on_a_sound_host_nothing_is_found(sick: Sick) -> None:
    assert await found(sick) == []


async def test_everything_is_found_at_once_in_order(sick: Sick) -> None:
    sick.orphans = [Orphan("interface", "hv1"), Orphan("lease", "10.213.0.9 of hostler0")]
    sick.table = False
    sick.blocked = ("iptables: the chain FORWARD",)
    sick.unwell = CNIError(Code.PLUGIN_NOT_AVAILABLE, "no address is left")
    sick.limit, sick.held_by = 1, {"task-one"}
    sick.holes = ["egress-tcp-443"]
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
    outcomes = await doctor_of(sick).find(ALIVE)
    seen = [(each.check, each.severity) for each in outcomes if isinstance(each, Finding)]
    assert seen == [("interfaces", Severity.WARNING)] * wrong


async def test_mending_removes_orphans_and_opens_the_firewall(sick: Sick) -> None:
    sick.orphans = [Orphan("interface", "hv1")]
    sick.table, sick.blocked = False, ("iptables",)
    doctor = doctor_of(sick)
    assert await doctor.mend(ALIVE) == ["removed interface hv1", "opened iptables"]
    assert sick.told == [("remove", ["s1", "s2"], ["task-one", "task-two"]), ("open firewall",)]
    assert await doctor.find(ALIVE) == []


async def test_what_the_checks_of_the_host_say_comes_last(
    sick: Sick, examined: list[Outcome]
) -> None:
    sick.table = False
    examined += [Fact("kernel", "it is new"), Unseen("units", "systemd sleeps")]
    table, *rest = await doctor_of(sick).find(ALIVE)
    assert isinstance(table, Finding)
    assert table.check == "firewall"
    assert rest == examined


async def test_a_check_that_cant_look_hides_no_other(sick: Sick) -> None:
    sick.table = False
    sick.blind = CNIError(Code.IO_FAILURE, "netlink", "is unwell")
    assert await doctor_of(sick).find(ALIVE) == [
        Unseen("orphans", "netlink: is unwell"),
        Finding(
            "firewall",
            "nftables table inet hostler is missing or not of this version",
            "run 'hostler doctor --fix'",
        ),
    ]


@pytest.mark.parametrize("at_once", [True, False])
async def test_without_containerd_nothing_is_taken_for_an_orphan(
    sick: Sick, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def version(self: object, *, timeout: float) -> object:
        assert timeout <= 5
        raise Unavailable("containerd is away")

    if at_once:
        monkeypatch.setattr(Answering, "version", version)
    sick.orphans = [Orphan("interface", "hv1")]
    sick.strays.hidden = Unavailable("containerd is away")
    sick.limit, sick.held_by = 1, {"task-one"}
    strays, orphans, interfaces = await doctor_of(sick).find(ALIVE)
    assert strays == Unseen("strays", "containerd is away")
    assert isinstance(orphans, Unseen)
    assert isinstance(interfaces, Finding)


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
    (data,) = await doctor_of(sick).find(ALIVE)
    assert isinstance(data, Finding)
    assert (data.check, data.severity) == ("data", Severity.WARNING)
    assert data.what == f"{folder} is of a task that is not known"
    doctor = doctor_of(sick)
    assert f"removed {folder}" in await doctor.mend(ALIVE)
    assert await doctor.find(ALIVE) == []
