"""containerd's record of a container: the runtime that it is made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.containerd.errors import AlreadyExists
from agent.containerd.types import RUNC_SHIM, ContainerRecord, RuncOptions
from agent.host.containers.records import Records
from agent.host.containers.runtimes import RUNC, Runtime, Runtimes
from agent.oci.errors import SpecError
from agent.task.cgroup import CgroupRoot
from tests.unit.host import worlds
from tests.worlds import IMAGE, container, task

TASK = replace(task(container("web")), runtimes={"web": "crun"})
CRUN = Runtime("crun", binary="/usr/bin/crun")


class Client:
    """containerd, where nothing but records can be made."""

    snapshotter = "overlayfs"

    def __init__(self) -> None:
        self.made: list[ContainerRecord] = []

    @property
    def containers(self) -> Any:
        return self

    async def create(self, record: ContainerRecord) -> None:
        if any(each.id == record.id for each in self.made):
            raise AlreadyExists("made before", "made before")
        self.made.append(record)


def records(client: Any, tmp_path: Path, *known: Runtime) -> Records:
    named = {each.name: each for each in known}
    return Records(client, worlds.names_below(tmp_path), Runtimes("runc", named))


def test_a_container_gets_the_runtime_that_it_was_accepted_with(tmp_path: Path) -> None:
    made = records(None, tmp_path, RUNC, CRUN)
    assert made.runtime(TASK, "web") == CRUN
    assert made.runtime(replace(TASK, runtimes={}), "web") == RUNC


def test_a_runtime_that_is_gone_by_now_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="its runtime crun is no longer configured; there are runc"):
        records(None, tmp_path, RUNC).runtime(TASK, "web")


@pytest.mark.parametrize(("parent", "systemd"), [("/hostler", False), ("hostler.slice", True)])
async def test_the_record_says_who_makes_cgroups(
    tmp_path: Path, parent: str, systemd: bool
) -> None:
    client = Client()
    placed = replace(TASK, cgroup=CgroupRoot(parent).of(TASK.id).path)
    made = records(client, tmp_path, RUNC, CRUN)
    await made.ensure(placed, "web", IMAGE, {"spec": 1}, CRUN, {})
    await made.ensure(placed, "web", IMAGE, {"spec": 2}, RUNC, {})
    (record,) = client.made
    assert record.spec == b'{"spec": 1}'
    assert record.runtime == RUNC_SHIM
    assert record.options == RuncOptions("/usr/bin/crun", systemd_cgroup=systemd)
    assert record.labels["hostler.runtime"] == "crun"
