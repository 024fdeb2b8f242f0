"""What one look at the statistics of all containers costs, on real cgroups."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from metadata.stats import reader
from metadata.stats.cgroup import V2
from metadata.stats.sweep import CGROUPFS, Sweeper, Target

COUNTS = (50, 200)
SWEEPS = 40
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "blkio")
_V2_CONTROLLERS = "+cpu +memory +pids +io"


def cpu_us_per_container() -> dict[int, float]:
    """Microseconds of CPU that a sweep takes per container, by how many containers there are.

    The median of many sweeps, files already open, each container's network interfaces included.
    Needs root; makes as many cgroups below one of its own, with a process each, and removes them.
    """
    return {count: _measured(count) for count in COUNTS}


def _measured(count: int) -> float:
    with cgroups(count) as containers:
        now = iter(range(0, 10**15, 10**9))  # a second passes between two sweeps
        sweeper = Sweeper(clock_ns=lambda: next(now))
        try:
            sweeper.sweep(containers)
            costs = sorted(_cost_ns(sweeper, containers) for _ in range(SWEEPS))
        finally:
            sweeper.close()
    return costs[len(costs) // 2] / 1000 / count


def _cost_ns(sweeper: Sweeper, containers: list[Target]) -> int:
    before = time.thread_time_ns()
    sweeper.sweep(containers)
    return time.thread_time_ns() - before


@contextmanager
def cgroups(count: int) -> Iterator[list[Target]]:
    """So many cgroups, named as a task's containers would be, with a sleeping process in each."""
    parent = f"hostler-bench-{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        roots = [CGROUPFS / parent]
        if reader.layout(CGROUPFS) is not V2:
            roots = [CGROUPFS / each / parent for each in _CONTROLLERS]
        for each in roots:
            _make(stack, each)
        if reader.layout(CGROUPFS) is V2:
            (roots[0] / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
        yield [_container(stack, roots, f"c{number}") for number in range(count)]


def _container(stack: ExitStack, roots: list[Path], name: str) -> Target:
    folders = [each / name for each in roots]
    for each in folders:
        _make(stack, each)
    process = subprocess.Popen(["sleep", "600"])
    stack.callback(_end, process)
    for each in folders:
        (each / "cgroup.procs").write_text(f"{process.pid}\n")
    return Target(name, f"/{roots[0].name}/{name}", process.pid, name)


def _make(stack: ExitStack, folder: Path) -> None:
    folder.mkdir()
    stack.callback(folder.rmdir)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
