"""CPU, memory and devices of a container's cgroup."""

from dataclasses import replace
from typing import Any

import pytest

from agent.oci.edits import DeviceNode
from agent.oci.errors import SpecError
from agent.oci.resources import devices, resources
from agent.task.limits import TaskLimits
from tests.unit.oci.worlds import inputs

MIB = 1024 * 1024
KVM = DeviceNode("/dev/kvm", "c", 10, 232, 0o660, 0, 104)


@pytest.mark.parametrize(("cpu", "shares"), [(0, 2), (1, 2), (2, 2), (512, 512), (300000, 262144)])
def test_shares_stay_within_the_kernels_limits(cpu: int, shares: int) -> None:
    assert resources(inputs({"cpu": cpu}))["cpu"] == {"shares": shares}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"memory": 64}, {"limit": 64 * MIB}),
        ({"memory": 2}, {"limit": 4 * MIB}),
        ({"memoryReservation": 64}, {"reservation": 64 * MIB}),
        ({"memory": 64, "memoryReservation": 32}, {"limit": 64 * MIB, "reservation": 32 * MIB}),
        (
            {"memory": 64, "linuxParameters": {"maxSwap": 0}},
            {"limit": 64 * MIB, "swap": 64 * MIB},
        ),
        (
            {"memory": 64, "linuxParameters": {"maxSwap": 8, "swappiness": 5}},
            {"limit": 64 * MIB, "swap": 72 * MIB, "swappiness": 5},
        ),
        ({"memory": 64, "linuxParameters": {"swappiness": 5}}, {"limit": 64 * MIB}),
    ],
)
def test_memory_follows_the_rules_of_ecs(
    fields: dict[str, Any], expected: dict[str, int] | None
) -> None:
    assert resources(inputs(fields)).get("memory") == expected


TASKS = TaskLimits(period_us=50_000, quota_us=25_000, memory=64 * MIB)


def test_the_tasks_quota_is_that_of_each_container() -> None:
    found = resources(inputs({"cpu": 512}, task_limits=TASKS))["cpu"]
    assert found == {"shares": 512, "quota": 25_000, "period": 50_000}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"limit": 64 * MIB}),
        ({"memory": 32}, {"limit": 32 * MIB}),
        ({"memoryReservation": 16}, {"limit": 64 * MIB, "reservation": 16 * MIB}),
    ],
)
def test_the_tasks_memory_is_that_of_containers_without_a_limit(
    fields: dict[str, Any], expected: dict[str, int]
) -> None:
    assert resources(inputs(fields, task_limits=TASKS))["memory"] == expected


def test_swappiness_is_left_out_on_version_2() -> None:
    fields = {"memory": 64, "linuxParameters": {"maxSwap": 8, "swappiness": 5}}
    host = replace(inputs().host, cgroup_version=2)
    assert "swappiness" not in resources(inputs(fields, host=host))["memory"]


def test_devices_are_denied_first_and_then_allowed_one_by_one() -> None:
    wanted = {"devices": [{"hostPath": "/dev/kvm", "permissions": ["read"]}]}
    rules = resources(inputs({"linuxParameters": wanted}, devices=(KVM,)))["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert rules[-1] == {"allow": True, "type": "c", "major": 10, "minor": 232, "access": "r"}
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"} in rules


def test_a_device_appears_under_the_name_asked_for() -> None:
    wanted = {"devices": [{"hostPath": "/dev/kvm", "containerPath": "/dev/vm"}]}
    (node,) = devices(inputs({"linuxParameters": wanted}, devices=(KVM,)))
    assert (node["path"], node["major"], node["fileMode"], node["gid"]) == (
        "/dev/vm",
        10,
        0o660,
        104,
    )


def test_a_device_that_the_host_lacks_is_an_error() -> None:
    wanted = {"linuxParameters": {"devices": [{"hostPath": "/dev/kvm"}]}}
    with pytest.raises(SpecError, match="/dev/kvm"):
        devices(inputs(wanted))


def test_privileged_has_all_devices_of_the_host() -> None:
    given = inputs({"privileged": True}, host=replace(inputs().host, devices=(KVM,)))
    assert [node["path"] for node in devices(given)] == ["/dev/kvm"]
    assert resources(given)["devices"] == [{"allow": True, "access": "rwm"}]


def test_privileged_has_a_device_under_the_name_asked_for_too() -> None:
    wanted = {"devices": [{"hostPath": "/dev/kvm", "containerPath": "/dev/vm"}]}
    fields = {"privileged": True, "linuxParameters": wanted}
    host = replace(inputs().host, devices=(KVM,))
    found = devices(inputs(fields, host=host, devices=(KVM,)))
    assert [node["path"] for node in found] == ["/dev/kvm", "/dev/vm"]
    assert {node["minor"] for node in found} == {KVM.minor}
