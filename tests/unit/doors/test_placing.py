"""By what a new task runs, and where its cgroup is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doors.errors import InvalidParameter
from agent.doors.placing import Placing
from agent.host.containers.runtimes import RUNC, Runtime, Runtimes
from agent.task.cgroup import CgroupRoot
from tests.unit.host import worlds
from tests.worlds import container

VM = Runtime("vm", "io.containerd.kata.v2")
PLACING = Placing(Runtimes("runc", {"runc": RUNC, "vm": VM}), CgroupRoot("hostler.slice"))
IN_VM = container("app", dockerLabels={"hostler.runtime": "vm"})
PLAIN = container("side")


def test_a_task_is_given_runtimes_and_a_cgroup() -> None:
    made = worlds.task(IN_VM, PLAIN)
    placed = PLACING.placed(made)
    cgroup = f"/hostler.slice/hostler-{made.id}.slice"
    assert placed == replace(made, runtimes={"app": "vm", "side": "runc"}, cgroup=cgroup)


def test_what_version_2_does_not_know_is_told() -> None:
    swaps = container("app", linuxParameters={"maxSwap": 8, "swappiness": 5})
    definition = worlds.task(PLAIN, swaps).definition
    assert list(PLACING.warnings(definition)) == []
    (told,) = replace(PLACING, cgroup_version=2).warnings(definition)
    assert told.startswith("containerDefinitions[1].linuxParameters.swappiness: has no effect")


def test_an_unknown_runtime_is_refused_with_those_that_are_known() -> None:
    made = replace(worlds.task(PLAIN), tags=({"key": "hostler:runtime", "value": "gvisor"},))
    with pytest.raises(InvalidParameter, match=r"side: .* 'gvisor' .* there are runc, vm"):
        PLACING.placed(made)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"networkMode": "host"}, "can't use the host's network"),
        ({"networkMode": "awsvpc"}, "takes its network for itself"),
        ({"pidMode": "host"}, r"can't share processes or memory \(pidMode host\)"),
        ({"pidMode": "task"}, r"can't share processes or memory \(pidMode task\)"),
        ({"ipcMode": "host"}, r"can't share processes or memory \(ipcMode host\)"),
        ({"ipcMode": "task"}, r"can't share processes or memory \(ipcMode task\)"),
    ],
)
def test_what_a_kernel_of_its_own_makes_impossible_is_refused(
    fields: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidParameter, match=f"container app: runtime vm {said}"):
        PLACING.placed(worlds.task(IN_VM, PLAIN, **fields))
    assert PLACING.placed(worlds.task(PLAIN, **fields)).runtimes == {"side": "runc"}


@pytest.mark.parametrize("fields", [{"networkMode": "awsvpc"}, {"ipcMode": "none"}])
def test_what_needs_no_sharing_is_taken(fields: dict[str, str]) -> None:
    assert PLACING.placed(worlds.task(IN_VM, **fields)).runtimes == {"app": "vm"}
