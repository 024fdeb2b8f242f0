"""CPU percentages from our statistics beside the kernel's own account of a known load. Needs root.

Percentages are computed as Docker's client does it, from one answer alone.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metadata.encoding import time_text
from metadata.source import Instant, TaskFacts
from metadata.stats import answers
from metadata.stats.sampler import Sampler
from tests.system.cgrouplab import OneTask, OwnCgroup, contained, own_cgroup

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups: needs root")

DEADLINE_S = 60.0
WINDOW_S = 10.0  # /proc/stat counts in hundredths of seconds
STEAL = 8
SHARE = 0.30


@dataclass(frozen=True, slots=True)
class Account:
    """What the kernel said at one moment of the container, of real time, and of stolen time."""

    cpu_ns: int
    real_ns: int
    stolen_ns: int


@dataclass
class Oracle:
    """The time, for the sampler; whenever that is asked for, the kernel's account is kept."""

    cgroup: OwnCgroup
    accounts: dict[str, Account] = field(default_factory=dict)

    def clock_ns(self) -> int:
        stolen = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[STEAL])
        account = Account(self.cgroup.cpu_ns(), time.monotonic_ns(), stolen * 10_000_000)
        now = time.time_ns()
        self.accounts[time_text(Instant(now))] = account
        return now

    def percentage(self, stats: dict[str, Any]) -> float:
        """Of one processor, over the window of the answer."""
        before, after = self.accounts[stats["preread"]], self.accounts[stats["read"]]
        stolen = (after.stolen_ns - before.stolen_ns) / os.sysconf("SC_NPROCESSORS_ONLN")
        available = after.real_ns - before.real_ns - stolen
        return (after.cpu_ns - before.cpu_ns) / available * 100


@dataclass
class Watched(OneTask):
    """Says when the sampler looks."""

    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def tasks(self) -> list[TaskFacts]:
        self.looks.release()
        return super().tasks()


def docker_percentage(cpu: dict[str, Any], before: dict[str, Any]) -> float:
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed: int = cpu["system_cpu_usage"] - before["system_cpu_usage"]
    return float(used / passed * cpu["online_cpus"] * 100)


@contextmanager
def load(cgroup: OwnCgroup, share: float) -> Iterator[None]:
    """A process that would use a whole processor and gets this share."""
    cgroup.limit_cpu(share)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            cgroup.enter(process.pid)
            yield
        finally:
            process.kill()


async def measured(source: Watched, sampler: Sampler) -> dict[str, Any]:
    """The container's statistics, whose window is that between the sampler's first two sweeps."""
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        running = group.create_task(sampler.run(source))
        for _ in range(2):
            await source.looks.acquire()
        assert sampler._job is not None
        await asyncio.wait([sampler._job])
        task, form = source.tasks()[0], answers.V4
        shown: dict[str, Any] = json.loads(
            await answers.of_container(sampler, task, source.container, form)
        )
        running.cancel()
    return shown


async def test_percentages_are_the_kernels_within_two_of_a_hundred() -> None:
    with own_cgroup() as cgroup, load(cgroup, SHARE):
        oracle = Oracle(cgroup)
        sampler = Sampler(clock_ns=oracle.clock_ns, interval_s=WINDOW_S)
        try:
            stats = await measured(Watched(contained(f"/{cgroup.name}")), sampler)
        finally:
            sampler.close()
    expected = oracle.percentage(stats)
    assert 0 < expected <= SHARE * 110
    assert docker_percentage(stats["cpu_stats"], stats["precpu_stats"]) == pytest.approx(
        expected, rel=0.02
    )
    usage = stats["cpu_stats"]["cpu_usage"]
    modes = usage["usage_in_usermode"] + usage["usage_in_kernelmode"]
    assert modes == pytest.approx(usage["total_usage"], abs=50_000_000)
    assert stats["cpu_stats"]["throttling_data"]["throttled_periods"] > 0
