"""cgroup v2 with systemd's driver: limits are in force, and what exceeds them is told."""

from tests.vm.lab import Lab

MIB = 1024 * 1024


def test_systemd_and_the_kernel_have_the_limits_of_a_task_and_its_container(lab: Lab) -> None:
    told = lab.alpha.facts("limits")
    assert told["path"].startswith("hostler.slice/hostler-")
    assert told["scope"].startswith("hostler-")
    assert told["task"]["memory.max"] == str(64 * MIB)
    assert told["task"]["cpu.max"] == "25000 100000"
    assert told["task"]["pids.max"] == "100"
    assert {"cpu", "memory", "pids"} <= set(told["task"]["cgroup.controllers"].split())
    assert told["systemd"] == {"MemoryMax": str(64 * MIB), "TasksMax": "100"}
    assert told["container"] == {"memory.max": str(48 * MIB), "cpu.weight": "5"}


def test_a_task_gets_no_more_of_a_processor_than_its_limit(lab: Lab) -> None:
    told = lab.alpha.facts("limits")
    assert told["throttled"] > 0
    assert 0.05 < told["processors"] < 0.35


def test_nothing_is_left_of_a_tasks_slice(lab: Lab) -> None:
    assert lab.alpha.facts("limits")["left"] is False


def test_who_wants_more_memory_than_the_limit_is_killed_and_that_is_told(lab: Lab) -> None:
    task = lab.alpha.facts("oom")["task"]
    (container,) = task["containers"]
    assert container["exitCode"] == 137
    assert container["reason"].startswith("OutOfMemoryError: ")
    assert task["stoppedReason"] == "Essential container in task exited"
