"""Limits of tasks and containers, as the kernel and systemd have them, and what enforces them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from tests.vm.guest import tasks
from tests.vm.guest.tasks import Task
from tests.vm.guest.telling import Facts, output

CGROUPS: Final = Path("/sys/fs/cgroup")
WATCHED_S: Final = 20.0

BUSY: Final = "trap 'exit 0' TERM; while :; do :; done"
GREEDY: Final = "tail /dev/zero"


def start() -> list[Task]:
    """A task that wants all of a processor, and one that wants all memory."""
    busy = tasks.definition("busy", BUSY, memory=48, cpu="256", container={"cpu": 128})
    busy["memory"] = "64"
    return [tasks.run(busy), tasks.run(tasks.definition("greedy", GREEDY))]


def busy(task: Task) -> Facts:
    """The limits of a task and its container, and what of a processor the task gets."""
    task.until_running()
    (of_task,) = CGROUPS.glob(f"**/*{task.id}*.slice")
    (scope,) = of_task.glob("*.scope")
    shown = output("systemctl", "show", "-p", "MemoryMax", "-p", "TasksMax", of_task.name)
    before, since = _used(of_task), time.monotonic()
    time.sleep(WATCHED_S)  # noqa: TID251 - what it uses meanwhile is measured
    used, passed = _used(of_task) - before, time.monotonic() - since
    facts = {
        "task": {each: (of_task / each).read_text().strip() for each in _OF_TASK},
        "container": {each: (scope / each).read_text().strip() for each in _OF_CONTAINER},
        "path": str(of_task.relative_to(CGROUPS)),
        "scope": scope.name,
        "systemd": dict(line.split("=", 1) for line in shown.splitlines()),
        "processors": used / passed,
        "throttled": _stat(of_task, "nr_throttled"),
    }
    tasks.end(task)
    return {**facts, "left": of_task.exists()}


def greedy(task: Task) -> Facts:
    """What is said of a task that wants more memory than it may have."""
    return {"task": task.until_stopped()}


_OF_TASK = ("cpu.max", "memory.max", "pids.max", "cgroup.controllers")
_OF_CONTAINER = ("memory.max", "cpu.weight")


def _used(cgroup: Path) -> float:
    """Processor time in seconds."""
    return _stat(cgroup, "usage_usec") / 1e6


def _stat(cgroup: Path, name: str) -> int:
    lines = (cgroup / "cpu.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name} "))
