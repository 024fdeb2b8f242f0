"""Cgroups by their files: both versions, controllers that lack, and who makes them."""

from __future__ import annotations

import pytest

from agent.host.checkup import cgroups
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings


@pytest.fixture
def two(host: Host) -> Host:
    """Version 2 with systemd."""
    host.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    host.write("/proc/cmdline", "quiet\n")
    host.folder("/run/systemd/system")
    return host


@pytest.fixture
def one(host: Host) -> Host:
    """Version 1 without systemd."""
    for each in ("cpu", "cpuset", "memory", "pids", "freezer"):
        host.write(f"/sys/fs/cgroup/{each}/cgroup.procs")
    return host


def test_version_2_with_systemd(two: Host) -> None:
    outcomes = list(cgroups.check(two.subject))
    assert findings(outcomes) == []
    assert facts(outcomes) == [
        "version 2",
        "controllers: cpu cpuset io memory pids",
        "tasks' cgroups are made by systemd",
    ]


def test_version_1_without_systemd(one: Host) -> None:
    outcomes = list(cgroups.check(one.subject))
    assert findings(outcomes) == []
    assert facts(outcomes)[0] == "version 1"
    assert facts(outcomes)[2] == "tasks' cgroups are made by the agent"
    one.folder("/sys/fs/cgroup/unified")
    assert facts(cgroups.check(one.subject))[0] == "hybrid: controllers are of version 1"


def test_no_cgroups_at_all(host: Host) -> None:
    outcomes = list(cgroups.check(host.subject))
    assert errors(outcomes) == ["no cgroups are mounted at /sys/fs/cgroup: no container can start"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("quiet cgroup_disable=memory", "take cgroup_disable=memory out"),
        ("quiet", "boot with cgroup_enable=memory"),
    ],
)
def test_memory_is_switched_off(two: Host, line: str, said: str) -> None:
    two.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    two.write("/proc/cmdline", line)
    outcomes = list(cgroups.check(two.subject))
    assert errors(outcomes) == [
        "there is no controller memory, so no memory limits, and statistics of memory"
    ]
    assert said in cure(outcomes)


def test_who_wants_no_limits_is_only_warned(two: Host) -> None:
    two.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n")
    assert len(errors(cgroups.check(two.subject))) == 1
    two.set(task_limits=False)
    outcomes = list(cgroups.check(two.subject))
    assert warnings(outcomes) == ["there is no controller pids, so no ECS_TASK_PIDS_LIMIT"]
    assert "let the host lend it" in cure(outcomes)


def test_a_controller_of_version_1_that_is_not_mounted(one: Host) -> None:
    one.remove("/sys/fs/cgroup/cpuset/cgroup.procs")
    outcomes = list(cgroups.check(one.subject))
    assert warnings(outcomes) == [
        "there is no controller cpuset, so no containers that are bound to CPUs"
    ]
    assert "mount the controller cpuset" in cure(outcomes)


def test_a_driver_that_is_not_there(one: Host) -> None:
    one.set(cgroup_driver="systemd")
    (what,) = errors(cgroups.check(one.subject))
    assert what.startswith("HOSTLER_CGROUP_DRIVER=systemd needs systemd")


def test_two_that_write_to_one_tree(two: Host) -> None:
    two.set(cgroup_driver="cgroupfs")
    (what,) = warnings(cgroups.check(two.subject))
    assert what.startswith("the driver is cgroupfs, but systemd is the first process")
