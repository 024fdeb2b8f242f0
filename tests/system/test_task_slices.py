"""Tasks whose cgroups a real systemd makes: slices with limits, what finds them, and their end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from agent.task import names
from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.servicelab import SERVICE, call, closed, id_of, run, serving, until
from tests.system.tasks import WAITS, Json, eventually, shell

pytestmark = nspawn.needed

MIB = 1024 * 1024
SHOWS = 'wget -qO- "$ECS_CONTAINER_METADATA_URI_V4/stats"; echo; '
"""Statistics: there as soon as they were taken."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with serving(
        HOSTLER_CGROUP_PARENT="lab-tasks.slice",
        ECS_ENABLE_TASK_CPU_MEM_LIMIT="true",
        ECS_TASK_PIDS_LIMIT="77",
    ) as machine:
        yield machine


def slice_of(task: Json) -> str:
    return f"lab-tasks-{id_of(task)}.slice"


def cgroups(machine: Machine, task: Json) -> list[str]:
    """All directories of the task's in the machine's cgroup trees."""
    return machine.run(
        "find", "/sys/fs/cgroup", "-type", "d", "-path", f"*{slice_of(task)}*"
    ).split()


def stats(machine: Machine, task: Json) -> Json:
    """Statistics that the container has printed."""
    answer = call(machine, "Hostler.GetLogs", task=task["taskArn"], container="app")
    texts = [each["text"] for each in answer["entries"] if "memory_stats" in each["text"]]
    found: Json = json.loads(texts[-1]) if texts else {}
    return found


def test_a_task_is_a_slice_with_its_limits_and_containers_are_scopes_in_it(
    machine: Machine,
) -> None:
    asks = f"while :; do {SHOWS} sleep 1; done"
    task = run(machine, shell("app", asks, memory=None), cpu="512", memory="128")
    until(machine, task, "RUNNING")
    unit, key = slice_of(task), names.container_id(id_of(task), "app")
    assert machine.shown(unit, "ControlGroup") == f"/lab.slice/lab-tasks.slice/{unit}"
    assert machine.shown(unit, "CPUQuotaPerSecUSec") == "500ms"
    assert machine.shown(unit, "MemoryMax") == str(128 * MIB)
    assert machine.shown(unit, "TasksMax") == "77"
    assert machine.shown(f"hostler-{key}.scope", "Slice") == unit
    eventually(lambda: stats(machine, task) != {}, "statistics")
    assert stats(machine, task)["memory_stats"]["limit"] == 128 * MIB
    call(machine, "StopTask", task=task["taskArn"], force=True)
    closed(machine, task)
    assert machine.shown(unit, "ActiveState") == "inactive"
    assert cgroups(machine, task) == []


def test_who_wants_too_much_memory_ends_for_want_of_it(machine: Machine) -> None:
    task = run(machine, shell("app", "exec tail -n 1 < /dev/zero", memory=None), memory="32")
    app = closed(machine, task)["containers"][0]
    assert app["exitCode"] == 137
    assert app["reason"].startswith("OutOfMemoryError")


def test_tasks_keep_their_cgroups_when_the_driver_is_changed(machine: Machine) -> None:
    before = run(machine, shell("app", WAITS))
    until(machine, before, "RUNNING")
    changed = machine.root / f"etc/systemd/system/{SERVICE}.d/zz.conf"
    changed.write_text("[Service]\nEnvironment=HOSTLER_CGROUP_PARENT=/plain\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", SERVICE)
    after = run(machine, shell("app", WAITS))
    until(machine, after, "RUNNING")
    assert cgroups(machine, before) != []
    assert cgroups(machine, after) == []
    for each in (before, after):
        assert call(machine, "Hostler.WatchTask", task=each["taskArn"])["closed"] is False
        call(machine, "StopTask", task=each["taskArn"], force=True)
        closed(machine, each)
    assert machine.shown(slice_of(before), "ActiveState") == "inactive"
    assert cgroups(machine, before) == []


def test_on_version_2_systemd_makes_cgroups_and_missing_controllers_are_told() -> None:
    """The kernel lends each controller to one version: on a host of version 1 there are none."""
    with serving(unified=True) as machine:
        task = run(machine, shell("app", "true"))
        closed(machine, task)
        unit = f"hostler-{id_of(task)}.slice"
        answer = call(machine, "Hostler.WatchTask", task=task["taskArn"])
        assert answer["cgroup"] == f"/hostler.slice/{unit}"
        machine.run("journalctl", "--sync")
        journal = machine.run("journalctl", "--no-pager", "-q", f"UNIT={unit}")
        assert f"Created slice {unit}" in journal
        assert f"Removed slice {unit}" in journal
        found = [each["what"] for each in call(machine, "Hostler.Diagnose")["findings"]]
        controllers = (machine.root / "sys/fs/cgroup/cgroup.controllers").read_text().split()
        missing = [each for each in ("cpu", "memory", "pids") if each not in controllers]
        assert any(f"no controller {' nor '.join(missing)}" in each for each in found) is bool(
            missing
        )
