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

from metadata.source import TaskFacts
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

    @classmethod
    def now(cls, cgroup: OwnCgroup) -> "Account":
        stolen = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[STEAL])
        return cls(cgroup.cpu_ns(), time.monotonic_ns(), stolen * 10_000_000)

    def used(self, later: "Account") -> int:
        """Nanoseconds of processor time."""
        return later.cpu_ns - self.cpu_ns

    def available(self, later: "Account") -> float:
        """Nanoseconds in which a processor could have been used."""
        stolen = (later.stolen_ns - self.stolen_ns) / os.sysconf("SC_NPROCESSORS_ONLN")
        return later.real_ns - self.real_ns - stolen


@dataclass(kw_only=True)
class Watched(OneTask):
    """Says when the sampler looks, and keeps the kernel's account from before and after that."""

    cgroup: OwnCgroup
    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    before: list[Account] = field(default_factory=list)
    after: list[Account] = field(default_factory=list)
    at: int = 0

    def clock_ns(self) -> int:
        """The time, which stands still after the second look: whoever asks then takes no third."""
        if len(self.after) < 2:
            self.at = time.time_ns()
        return self.at

    def tasks(self) -> list[TaskFacts]:
        self.before.append(Account.now(self.cgroup))
        self.looks.release()
        return super().tasks()

    def bounds(self) -> tuple[float, float]:
        """The least and the most, in percent of one processor, that the first two looks can show.

        They are as far apart as the looks took; a machine with much to do breaks off both.
        """
        inner, outer = (self.after[0], self.before[1]), (self.before[0], self.after[1])
        least = inner[0].used(inner[1]) / outer[0].available(outer[1])
        most = outer[0].used(outer[1]) / inner[0].available(inner[1])
        return least * 100, most * 100


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
            source.after.append(Account.now(source.cgroup))
        task, form = source.tasks()[0], answers.V4
        shown: dict[str, Any] = json.loads(
            await answers.of_container(sampler, task, source.container, form)
        )
        running.cancel()
    return shown


async def test_percentages_are_the_kernels_within_two_of_a_hundred() -> None:
    with own_cgroup() as cgroup, load(cgroup, SHARE):
        source = Watched(contained(f"/{cgroup.name}"), cgroup=cgroup)
        sampler = Sampler(clock_ns=source.clock_ns, interval_s=WINDOW_S)
        try:
            stats = await measured(source, sampler)
        finally:
            sampler.close()
    least, most = source.bounds()
    assert 0 < least <= SHARE * 110
    shown = docker_percentage(stats["cpu_stats"], stats["precpu_stats"])
    assert least * 0.98 <= shown <= most * 1.02
    usage = stats["cpu_stats"]["cpu_usage"]
    modes = usage["usage_in_usermode"] + usage["usage_in_kernelmode"]
    assert modes == pytest.approx(usage["total_usage"], abs=50_000_000)
    assert stats["cpu_stats"]["throttling_data"]["throttled_periods"] > 0
