"""The task's cgroup, in trees that look like the kernel's.

Here ``rmdir`` refuses a directory with files, as the kernel's doesn't: what is removed has none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.cgroups import CgroupError, Cgroups
from tests.unit.host import worlds
from tests.worlds import container

LIMITED = worlds.task(container("web"), cpu="512", memory="64").definition
UNLIMITED = worlds.task(container("web")).definition


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
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
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
    assert (v1.mount / "cpu/p/task/cpu.cfs_period_us").read_text() == "100000"
    assert (v1.mount / "cpu/p/task/cpu.cfs_quota_us").read_text() == "50000"
    assert (v1.mount / "memory/p/task/memory.limit_in_bytes").read_text() == str(64 * 2**20)


def test_limits_on_version_2(v2: Cgroups) -> None:
    v2.ensure("/p/task", LIMITED)
    v2.ensure("/p/task", LIMITED)
    assert (v2.mount / "p/task/cpu.max").read_text() == "50000 100000"
    assert (v2.mount / "p/task/memory.max").read_text() == str(64 * 2**20)
    for cgroup in (v2.mount, v2.mount / "p"):
        assert "+memory" in (cgroup / "cgroup.subtree_control").read_text()


def test_a_task_without_limits_has_none(v1: Cgroups) -> None:
    v1.ensure("/p/task", UNLIMITED)
    assert list(v1.mount.rglob("memory.limit_in_bytes")) == []
    assert list(v1.mount.rglob("cpu.cfs_quota_us")) == []


def test_a_limit_that_cant_be_set_names_the_cgroup(v1: Cgroups) -> None:
    (v1.mount / "memory" / "p").write_text("in the way")
    with pytest.raises(CgroupError, match="/p/task"):
        v1.ensure("/p/task", LIMITED)


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
