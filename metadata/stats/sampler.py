"""Takes and keeps the samples that the stats routes show.

A sample is taken when somebody asks and the last one is a second old; that bounds what a busy
poller costs, and gives rates a base that means something. A periodic sampler would call
`refresh` for all containers instead: what is kept doesn't change.

The files are tiny, but reading memory.stat makes the kernel sum counters over all processors,
which takes milliseconds on large hosts, so one thread of this module does the reading and the
event loop never waits for the kernel. At a sweep a second the hop costs nothing that matters.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metadata.source import CgroupFacts, ContainerFacts, Instant
from metadata.stats import cgroup, proc
from metadata.stats.proc import HostCpu, InterfaceCounters
from metadata.stats.render import Sample, Samples

_FRESH_NS = 1_000_000_000
_FORGET_NS = 300 * 1_000_000_000  # longer than any usual polling interval
_SWEEP_TIMEOUT_S = 0.8  # several SDKs give up at 1 s; a healthy sweep takes milliseconds

log = logging.getLogger(__name__)


class Sampler:
    """The last two samples of each container asked about. Close it to end its thread."""

    def __init__(
        self,
        cgroupfs: Path = Path("/sys/fs/cgroup"),
        procfs: Path = Path("/proc"),
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._cgroupfs = cgroupfs
        self._procfs = procfs
        self._clock_ns = clock_ns
        self._kept: dict[str, Samples] = {}  # the one sampled longest ago comes first
        self._sweeping = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stats")

    async def refresh(self, containers: Sequence[ContainerFacts]) -> dict[str, Samples]:
        """The samples by runtime id, none older than a second unless the kernel doesn't answer.

        Containers that aren't running or can't be measured are not in the result.
        """
        measurable = {each.docker_id: each.cgroup for each in containers if each.cgroup}
        try:
            async with asyncio.timeout(_SWEEP_TIMEOUT_S), self._sweeping:
                await self._sweep(measurable)
        except TimeoutError:
            log.warning("reading cgroups of %d containers takes too long", len(measurable))
        return {each: self._kept[each] for each in measurable if each in self._kept}

    def close(self) -> None:
        """Ends the thread once it has no file left to read. Refuses further sweeps."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _sweep(self, measurable: Mapping[str, CgroupFacts]) -> None:
        now = Instant(self._clock_ns())
        due = {each: facts for each, facts in measurable.items() if not self._is_fresh(each, now)}
        if not due:
            return
        loop = asyncio.get_running_loop()
        for docker_id, sample in (
            await loop.run_in_executor(self._thread, self._read, due, now)
        ).items():
            self._keep(docker_id, sample)
        self._forget(now)

    def _is_fresh(self, docker_id: str, now: Instant) -> bool:
        """A sample from the future, after the clock was set back, is not fresh."""
        kept = self._kept.get(docker_id)
        return kept is not None and 0 <= now - kept.latest.at < _FRESH_NS

    def _keep(self, docker_id: str, sample: Sample | None) -> None:
        before = self._kept.pop(docker_id, None)
        if sample is not None:
            self._kept[docker_id] = Samples(sample, before.latest if before else None)

    def _forget(self, now: Instant) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if now - self._kept[oldest].latest.at < _FORGET_NS:
                return
            del self._kept[oldest]

    def _read(self, due: Mapping[str, CgroupFacts], now: Instant) -> dict[str, Sample | None]:
        host_cpu = proc.host_cpu((self._procfs / "stat").read_text())
        host_memory = proc.memory_total((self._procfs / "meminfo").read_text())
        return {
            each: self._sample(facts, now, host_cpu, host_memory) for each, facts in due.items()
        }

    def _sample(
        self, facts: CgroupFacts, now: Instant, host_cpu: HostCpu, host_memory: int
    ) -> Sample | None:
        # The network comes first: a process id can be used again only after the container's
        # cgroup is empty, and then the cgroup says so.
        networks = self._networks(facts.network_pid)
        try:
            usage = cgroup.usage(self._cgroupfs, facts.path)
        except cgroup.Gone:
            return None
        return Sample(now, usage, host_cpu, host_memory, networks)

    def _networks(self, pid: int | None) -> dict[str, InterfaceCounters] | None:
        """None also when the process is just ending; its cgroup tells what that means."""
        if pid is None:
            return None
        try:
            return proc.interfaces((self._procfs / str(pid) / "net" / "dev").read_text())
        except OSError:
            return None
