"""Cgroups with limits, in trees that look like the kernel's.

Here ``rmdir`` refuses a directory with files, as the kernel's doesn't: what is removed has none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.cgroups.kernel import CgroupError, Cgroups, weight
from agent.task.limits import MAX_SHARES, MIN_SHARES, TaskLimits

LIMITED = TaskLimits(period_us=50_000, quota_us=25_000, memory=64 * 2**20, pids=100)
SHARED = TaskLimits(shares=512)
UNLIMITED = TaskLimits()


@pytest.fixture
def v1(tmp_path: Path) -> Cgroups:
    for tree in ("cpu,cpuacct", "memory", "pids"):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "cgroup.procs").touch()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "unrelated").mkdir()
    return Cgroups(tmp_path)


@pytest.fixture
def v2(tmp_path: Path) -> Cgroups:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.procs").touch()
    return Cgroups(tmp_path)


def test_one_unified_tree_is_version_2(v2: Cgroups) -> None:
    assert v2.version == 2
    assert list(v2.trees()) == [v2.mount]


def test_trees_of_controllers_are_version_1_and_counted_once(v1: Cgroups) -> None:
    assert v1.version == 1
    assert [each.name for each in v1.trees()] == ["cpu,cpuacct", "memory", "pids"]


def test_limits_on_version_1(v1: Cgroups) -> None:
    v1.ensure("/p/task", LIMITED)
    v1.ensure("/p/task", LIMITED)
    assert (v1.mount / "cpu/p/task/cpu.cfs_period_us").read_text() == "50000"
    assert (v1.mount / "cpu/p/task/cpu.cfs_quota_us").read_text() == "25000"
    assert (v1.mount / "memory/p/task/memory.limit_in_bytes").read_text() == str(64 * 2**20)
    assert (v1.mount / "pids/p/task/pids.max").read_text() == "100"
    assert not (v1.mount / "cpu/p/task/cpu.shares").exists()


def test_limits_on_version_2(v2: Cgroups) -> None:
    v2.ensure("/p/task", LIMITED)
    v2.ensure("/p/task", LIMITED)
    assert (v2.mount / "p/task/cpu.max").read_text() == "25000 50000"
    assert (v2.mount / "p/task/memory.max").read_text() == str(64 * 2**20)
    assert (v2.mount / "p/task/pids.max").read_text() == "100"
    assert not (v2.mount / "p/task/cpu.weight").exists()
    for cgroup in (v2.mount, v2.mount / "p"):
        assert "+memory" in (cgroup / "cgroup.subtree_control").read_text()


def test_a_task_without_a_quota_has_a_weight(v1: Cgroups, tmp_path: Path) -> None:
    v1.ensure("/p/task", SHARED)
    assert (v1.mount / "cpu/p/task/cpu.shares").read_text() == "512"
    unified = Cgroups(tmp_path / "unified")
    unified.mount.mkdir()
    (unified.mount / "cgroup.controllers").touch()
    unified.ensure("/p/task", SHARED)
    assert (unified.mount / "p/task/cpu.weight").read_text() == str(weight(512))


@pytest.mark.parametrize(
    ("shares", "expected"), [(MIN_SHARES, 1), (1024, 39), (10240, 391), (MAX_SHARES, 10000)]
)
def test_shares_become_weights_over_the_whole_range(shares: int, expected: int) -> None:
    assert weight(shares) == expected


def test_a_task_without_limits_has_none(v1: Cgroups) -> None:
    v1.ensure("/p/task", UNLIMITED)
    assert [each for each in v1.mount.rglob("*") if "task" in each.parts] == []


def test_a_limit_that_cant_be_set_names_the_cgroup(v1: Cgroups) -> None:
    (v1.mount / "memory" / "p").write_text("in the way")
    with pytest.raises(CgroupError, match="/p/task"):
        v1.ensure("/p/task", LIMITED)


def test_what_limits_need_is_made_ready_on_version_1(v1: Cgroups) -> None:
    v1.prepare("/p")
    v1.prepare("/p")
    assert all((v1.mount / each / "p").is_dir() for each in ("cpu", "memory", "pids"))


def test_controllers_that_are_missing_on_version_1_are_named(v1: Cgroups) -> None:
    (v1.mount / "pids/cgroup.procs").unlink()
    (v1.mount / "pids").rmdir()
    (v1.mount / "cpu").unlink()
    with pytest.raises(CgroupError, match="no controller cpu nor pids for the cgroup /p"):
        v1.prepare("/p")
    assert not (v1.mount / "memory/p").exists()


def test_controllers_that_are_not_handed_down_on_version_2_are_named(v2: Cgroups) -> None:
    (v2.mount / "p").mkdir()
    (v2.mount / "p/cgroup.controllers").write_text("cpu pids")
    with pytest.raises(CgroupError, match="no controller memory for the cgroup /p"):
        v2.prepare("/p")
    (v2.mount / "p/cgroup.controllers").write_text("cpu pids memory io")
    v2.prepare("/p")


def test_a_cgroup_that_cant_be_made_is_named(v1: Cgroups) -> None:
    (v1.mount / "memory/p").touch()
    with pytest.raises(CgroupError, match="can't make the cgroup /p"):
        v1.prepare("/p")


def test_kills_for_want_of_memory_are_counted_on_version_1(v1: Cgroups) -> None:
    assert v1.memory_kills("/p/task") is None
    (v1.mount / "memory/p/task").mkdir(parents=True)
    events = v1.mount / "memory/p/task/memory.oom_control"
    events.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert v1.memory_kills("/p/task") == 3
    events.write_text("oom_kill_disable 0\nunder_oom 0\n")  # kernels before 4.13
    assert v1.memory_kills("/p/task") == 0


def test_kills_for_want_of_memory_are_counted_on_version_2(v2: Cgroups) -> None:
    assert v2.memory_kills("/p/task") is None
    (v2.mount / "p/task").mkdir(parents=True)
    events = v2.mount / "p/task/memory.events"
    events.write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n")
    assert v2.memory_kills("/p/task") == 1


@pytest.mark.parametrize("tree", ["v1", "v2"])
def test_removing_takes_what_is_below_from_all_trees(
    tree: str, request: pytest.FixtureRequest
) -> None:
    cgroups: Cgroups = request.getfixturevalue(tree)
    for each in cgroups.trees():
        (each / "p/task/container").mkdir(parents=True)
        (each / "p/other").mkdir()
    cgroups.remove("/p/task")
    cgroups.remove("/p/task")
    for each in cgroups.trees():
        assert [below.name for below in (each / "p").iterdir()] == ["other"]


def test_a_cgroup_in_use_is_not_removed(v1: Cgroups) -> None:
    (v1.mount / "memory/p/task").mkdir(parents=True)
    (v1.mount / "memory/p/task/busy").touch()
    with pytest.raises(OSError, match="not empty"):
        v1.remove("/p/task")


def test_a_parent_is_removed_only_when_it_is_empty(v1: Cgroups) -> None:
    (v1.mount / "memory/p/task").mkdir(parents=True)
    (v1.mount / "pids/p").mkdir()
    v1.remove_if_empty("/p")
    assert (v1.mount / "memory/p/task").is_dir()
    assert not (v1.mount / "pids/p").exists()
