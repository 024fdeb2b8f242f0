"""Limits of CPU, memory and processes as programs meet them, and the end of who wants more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.trial import private_settings
from agent.host.cgroups.kernel import Cgroups
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.tasks import SERVES, WAITS, Json, Task, run, shell

MIB = 1024 * 1024
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
KILLED = 137
PIDS = 50

V2 = Cgroups().version == 2
SEES_MEMORY = "cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
SEES_QUOTA = (
    "cat /sys/fs/cgroup/cpu.max || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us "
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us"
)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent(ECS_CGROUP_CPU_PERIOD="50ms", ECS_TASK_PIDS_LIMIT=str(PIDS)) as agent:
        yield agent


def ended(task: Task) -> dict[str, Json]:
    """The containers of the task once it is closed, by name."""
    return {each["name"]: each for each in task.until_closed()["containers"]}


def sees(task: Task, name: str) -> list[int]:
    return [int(each) for each in " ".join(task.until_log(name)).split()]


def test_a_program_sees_the_tasks_limits_where_its_container_has_none(agent: Agent) -> None:
    script = f"echo $( ({SEES_MEMORY}; {SEES_QUOTA}) 2>/dev/null); {WAITS}"
    plain = {**shell("plain", script), "memory": None, "memoryReservation": 16}
    own = shell("own", script, memory=48)
    task = run(agent, plain, own, cpu="512", memory="64")
    assert sees(task, "plain") == [64 * MIB, 25_000, 50_000]
    assert sees(task, "own") == [48 * MIB, 25_000, 50_000]
    task.end()


def test_who_wants_more_than_its_own_memory_ends_for_want_of_it(agent: Agent) -> None:
    greedy = shell("greedy", "exec tail -n 1 < /dev/zero", memory=16)
    task = run(agent, greedy, shell("modest", SERVES, stopTimeout=2))
    found = ended(task)
    assert (found["greedy"]["exitCode"], found["greedy"]["reason"]) == (KILLED, OUT_OF_MEMORY)
    assert "reason" not in found["modest"]


def test_who_wants_more_than_the_tasks_memory_is_told_from_the_others(agent: Agent) -> None:
    greedy = shell("greedy", "exec tail -n 1 < /dev/zero", memory=60, essential=False)
    waits = shell("waits", SERVES, memory=60)
    task = run(agent, greedy, waits, memory="64")
    task.until_step("exited", "greedy")
    task.until_log("waits")
    assert task.container("greedy")["reason"] == OUT_OF_MEMORY
    task.stop()
    found = ended(task)
    assert found["greedy"]["exitCode"] == KILLED
    assert (found["waits"]["exitCode"], found["waits"].get("reason")) == (0, None)


def test_a_container_that_lost_a_child_to_it_says_so_whatever_it_exits_with(agent: Agent) -> None:
    child = "(echo 1000 > /proc/self/oom_score_adj; exec tail -n 1 < /dev/zero)"
    task = run(agent, shell("app", f"{child}; exit 0", memory=64))
    app = ended(task)["app"]
    assert (app["exitCode"], app["reason"]) == (0, OUT_OF_MEMORY)


def test_a_task_may_have_so_many_processes(agent: Agent) -> None:
    script = "i=0; while [ $i -lt 100 ]; do sleep 9 & i=$((i+1)); done"
    task = run(agent, shell("forks", script))
    ended(task)
    assert any("fork" in line for line in task.log("forks"))


def test_an_agent_ends_that_can_not_set_the_limits_it_is_told_to_set(tmp_path: Path) -> None:
    """In a mount namespace of its own, where no cgroups are mounted."""
    settings = {**private_settings(tmp_path), "ECS_ENABLE_TASK_CPU_MEM_LIMIT": "true"}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    hiding = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    agent = [sys.executable, "-m", "agent", "agent", *flags]
    command = ["unshare", "-m", "sh", "-c", hiding, "sh", *agent]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    parent = settings["HOSTLER_CGROUP_PARENT"]
    assert ran.stderr.splitlines()[-1] == (
        "hostler: ECS_ENABLE_TASK_CPU_MEM_LIMIT=true: "
        f"the kernel has no controller cpu nor memory nor pids for the cgroup {parent}"
    )
    assert ran.returncode == 1
