"""Where tasks' cgroups are made and how they are limited, and whom the kernel killed there."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.host.cgroups.kernel import CgroupError, Cgroups
from agent.host.cgroups.tasks import TaskCgroups, open_cgroups, root_of
from agent.settings import Settings
from agent.task import names
from agent.task.cgroup import CgroupRoot
from agent.task.limits import LimitRules, TaskLimits
from agent.task.model import Task
from tests.unit.host import worlds
from tests.worlds import container

LIMITED = worlds.task(container("web"), cpu="512", memory="64")


def in_slice(task: Task) -> Task:
    return replace(task, cgroup=CgroupRoot("hostler.slice").of(task.id).path)


class Systemd:
    """Remembers what it was asked."""

    def __init__(self, kernel: Cgroups) -> None:
        self.kernel = kernel
        self.told: list[tuple[Any, ...]] = []

    def ensure(self, name: str, limits: TaskLimits) -> None:
        self.told.append(("ensure", name, limits))

    def stop(self, name: str) -> None:
        self.told.append(("stop", name))


@pytest.fixture(params=[1, 2])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Cgroups:
    mount = tmp_path / "cgroup"
    trees = [mount] if request.param == 2 else [mount / each for each in ("cpu", "memory", "pids")]
    for tree in trees:
        tree.mkdir(parents=True)
        (tree / "cgroup.procs").touch()
    if request.param == 2:
        (mount / "cgroup.controllers").write_text("cpu memory pids")
    return Cgroups(mount)


@pytest.fixture
def cgroups(kernel: Cgroups, tmp_path: Path) -> TaskCgroups:
    systemd: Any = Systemd(kernel)
    return TaskCgroups(worlds.names_below(tmp_path), kernel=kernel, systemd=systemd)


def directory(cgroups: TaskCgroups, path: str) -> Path:
    mount = cgroups.kernel.mount
    return (mount if cgroups.kernel.version == 2 else mount / "memory") / path.lstrip("/")


def memory_of(cgroups: TaskCgroups, task: Task) -> str:
    name = "memory.max" if cgroups.kernel.version == 2 else "memory.limit_in_bytes"
    return (directory(cgroups, cgroups.of.task_cgroup(task).path) / name).read_text()


def killed(cgroups: TaskCgroups, path: str, kills: int) -> None:
    """The kernel counted so many kills in this cgroup."""
    name = "memory.events" if cgroups.kernel.version == 2 else "memory.oom_control"
    directory(cgroups, path).mkdir(parents=True, exist_ok=True)
    (directory(cgroups, path) / name).write_text(f"oom 0\noom_kill {kills}\n")


def told(cgroups: TaskCgroups) -> list[tuple[Any, ...]]:
    systemd: Any = cgroups.systemd
    found: list[tuple[Any, ...]] = systemd.told
    return found


def test_a_cgroup_is_made_directly_where_systemd_has_no_part(cgroups: TaskCgroups) -> None:
    cgroups.ensure(LIMITED)
    assert memory_of(cgroups, LIMITED) == str(64 * 2**20)
    assert told(cgroups) == []


def test_a_slice_is_made_by_systemd_and_its_limits_are_written_too(cgroups: TaskCgroups) -> None:
    task = in_slice(LIMITED)
    cgroups.ensure(task)
    assert memory_of(cgroups, task) == str(64 * 2**20)
    limits = TaskLimits(quota_us=50_000, memory=64 * 2**20)
    assert told(cgroups) == [("ensure", f"hostler-{task.id}.slice", limits)]


def test_each_task_is_removed_the_way_it_was_made(cgroups: TaskCgroups) -> None:
    for task in (LIMITED, in_slice(LIMITED)):
        made = directory(cgroups, cgroups.of.task_cgroup(task).path)
        made.mkdir(parents=True)
        cgroups.remove(task)
        assert not made.exists()
    assert told(cgroups) == [("stop", f"hostler-{LIMITED.id}.slice")]


def test_the_root_goes_if_it_is_ours(cgroups: TaskCgroups) -> None:
    for root in (CgroupRoot("/lab"), CgroupRoot("lab.slice")):
        directory(cgroups, root.path).mkdir(parents=True)
        replace(cgroups, root=root).remove_root()
    assert not directory(cgroups, "/lab").exists()
    assert directory(cgroups, "/lab.slice").exists()


@pytest.mark.parametrize("task", [LIMITED, in_slice(LIMITED)])
def test_the_containers_own_cgroup_says_whether_it_was_short_of_memory(
    cgroups: TaskCgroups, task: Task
) -> None:
    own = cgroups.of.container_cgroup(task, "web")
    killed(cgroups, cgroups.of.task_cgroup(task).path, 5)
    for kills, status in ((0, 137), (0, 0), (1, 137), (1, 0)):
        killed(cgroups, own, kills)
        assert cgroups.out_of_memory(task, "web", status, killed=False) is (kills > 0)


@pytest.mark.parametrize(
    ("kills", "status", "by_us", "expected"),
    [(1, 137, False, True), (1, 137, True, False), (1, 0, False, False), (0, 137, False, False)],
)
def test_where_that_is_gone_the_tasks_and_the_exit_tell(
    cgroups: TaskCgroups, kills: int, status: int, by_us: bool, expected: bool
) -> None:
    task = in_slice(LIMITED)
    killed(cgroups, cgroups.of.task_cgroup(task).path, kills)
    assert cgroups.out_of_memory(task, "web", status, killed=by_us) is expected


def test_where_everything_is_gone_nothing_is_claimed(cgroups: TaskCgroups) -> None:
    assert cgroups.out_of_memory(LIMITED, "web", 137, killed=False) is False
    assert names.container_id(LIMITED.id, "web") in cgroups.of.container_cgroup(LIMITED, "web")


def test_containers_are_shown_what_the_rules_say(cgroups: TaskCgroups) -> None:
    assert cgroups.shown(LIMITED).memory == 64 * 2**20
    off = replace(cgroups, rules=LimitRules(shown=False))
    assert off.shown(LIMITED) == TaskLimits()


@pytest.mark.parametrize(
    ("driver", "parent", "version", "booted", "expected"),
    [
        ("auto", "", 2, True, "hostler.slice"),
        ("auto", "", 1, True, "/hostler"),
        ("auto", "", 2, False, "/hostler"),
        ("auto", "/lab", 2, True, "/lab"),
        ("auto", "lab.slice", 1, True, "lab.slice"),
        ("cgroupfs", "", 2, True, "/hostler"),
        ("systemd", "", 1, True, "hostler.slice"),
        ("systemd", "lab.slice", 2, True, "lab.slice"),
    ],
)
def test_the_driver_and_the_parent_say_where_cgroups_are(
    driver: str, parent: str, version: int, booted: bool, expected: str
) -> None:
    settings = Settings(cgroup_driver=driver, cgroup_parent=parent)
    assert root_of(settings, version=version, booted=booted) == CgroupRoot(expected)


@pytest.mark.parametrize(
    ("driver", "parent", "said"),
    [
        ("systemd", "", "HOSTLER_CGROUP_DRIVER=systemd needs systemd"),
        ("auto", "lab.slice", r"HOSTLER_CGROUP_PARENT=lab\.slice needs systemd"),
    ],
)
def test_what_only_systemd_can_do_is_refused_without_it(
    driver: str, parent: str, said: str
) -> None:
    settings = Settings(cgroup_driver=driver, cgroup_parent=parent)
    with pytest.raises(CgroupError, match=said):
        root_of(settings, version=2, booted=False)


def opened(settings: Settings, mount: Path) -> TaskCgroups:
    return open_cgroups(settings, Cgroups(mount), booted=mount / "no systemd")


def test_settings_become_rules(kernel: Cgroups) -> None:
    if kernel.version == 2:
        (kernel.mount / "hostler").mkdir()
        (kernel.mount / "hostler/cgroup.controllers").write_text("cpu memory pids")
    settings = Settings(cpu_period_s=0.05, pids_limit=9, limits_shown=False, task_limits=True)
    made = opened(settings, kernel.mount)
    assert made.rules == LimitRules(enabled=True, period_us=50_000, pids=9, shown=False)
    assert made.root == CgroupRoot("/hostler")


def test_limits_that_can_not_be_set_are_left_out_unless_they_were_demanded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        soft = opened(Settings(), tmp_path)
    assert not soft.rules.enabled
    assert "no controller cpu nor memory nor pids" in soft.unlimited_because
    assert soft.unlimited_because in caplog.text
    with pytest.raises(CgroupError, match="ECS_ENABLE_TASK_CPU_MEM_LIMIT=true: the kernel has no"):
        opened(Settings(task_limits=True), tmp_path)


def test_limits_that_were_switched_off_are_not_missed(tmp_path: Path) -> None:
    off = opened(Settings(task_limits=False), tmp_path)
    assert (off.rules.enabled, off.unlimited_because) == (False, "")
