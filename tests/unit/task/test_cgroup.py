"""Paths of cgroups, made directly or by systemd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.task import names
from agent.task.cgroup import CgroupRoot, TaskCgroup
from agent.task.names import Names
from tests.worlds import container, task

ID, KEY = "a" * 32, "b" * 64


def test_below_a_directory_everything_is_a_path() -> None:
    root = CgroupRoot("/hostler")
    cgroup = root.of(ID)
    assert (root.systemd, root.path) == (False, "/hostler")
    assert (cgroup.path, cgroup.slice) == (f"/hostler/{ID}", "")
    assert cgroup.container(KEY) == cgroup.for_runtime(KEY) == f"/hostler/{ID}/{KEY}"


def test_below_a_slice_the_task_is_one_and_its_containers_are_scopes() -> None:
    root = CgroupRoot("hostler.slice")
    cgroup = root.of(ID)
    assert (root.systemd, root.path) == (True, "/hostler.slice")
    assert cgroup.path == f"/hostler.slice/hostler-{ID}.slice"
    assert cgroup.slice == f"hostler-{ID}.slice"
    assert cgroup.container(KEY) == f"{cgroup.path}/hostler-{KEY}.scope"
    assert cgroup.for_runtime(KEY) == f"hostler-{ID}.slice:hostler:{KEY}"


def test_each_dash_of_a_slice_is_a_level() -> None:
    root = CgroupRoot("a-b_c-d.slice")
    assert root.path == "/a.slice/a-b_c.slice/a-b_c-d.slice"
    assert root.of(ID).path == f"{root.path}/a-b_c-d-{ID}.slice"


@pytest.mark.parametrize("parent", ["/hostler", "/x.slice", "hostler.slice", "a-b.slice"])
def test_the_path_alone_says_who_makes_a_cgroup(parent: str) -> None:
    root = CgroupRoot(parent)
    assert bool(TaskCgroup(root.of(ID).path).slice) is root.systemd


def test_a_task_keeps_the_cgroup_that_it_was_accepted_with() -> None:
    of = Names(Path("/run/x"), Path("/var/lib/x"), "/parent", "hv")
    old = task(container("web"))
    key = names.container_id(old.id, "web")
    assert of.container_cgroup(old, "web") == f"/parent/{old.id}/{key}"
    new = replace(old, cgroup=CgroupRoot("hostler.slice").of(old.id).path)
    assert of.container_cgroup(new, "web").endswith(f".slice/hostler-{key}.scope")
