"""Samples all containers at once, and keeps the last two samples of each.

A sample is bytes as the kernel gave them: most are never shown, so they are parsed only when
somebody asks. Sweeping blocks and is for one thread at a time; what is kept may be read by others.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from metadata.source import ContainerFacts, Instant, TaskFacts
from metadata.stats import proc, reader
from metadata.stats.carried import summed
from metadata.stats.cgroup import Layout, Limits, Usage
from metadata.stats.reader import Gone, Reader
from metadata.stats.render import Sample, Samples

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAT_SIZE = 1 << 17  # the line of each processor, for a thousand of them
_LEAST_NS = 500_000_000  # what happened in less says little
_SKEW_NS = 5_000_000  # how long a look at the host's processors serves
_REOPEN_NS = 60 * 1_000_000_000  # limits are read when files are opened

CGROUPFS: Final = Path("/sys/fs/cgroup")
PROCFS: Final = Path("/proc")

log = logging.getLogger(__name__)


class Target(NamedTuple):
    """A container to measure. Those with the same `network` share one network namespace.

    `run` counts the restarts of one that may be run again; between two runs it has no `path`.
    """

    docker_id: str
    path: str
    pid: int | None
    network: str
    run: int | None = None


def targets(tasks: Iterable[TaskFacts]) -> list[Target]:
    """All containers of the tasks that can be measured, now or when they run again."""
    return [
        Target(
            each.docker_id,
            each.cgroup.path if each.cgroup else "",
            each.cgroup.network_pid if each.cgroup else None,
            task.arn if task.network_mode == "awsvpc" else each.docker_id,
            each.restart_count,
        )
        for task in tasks
        for each in task.containers
        if each.cgroup is not None or _between_runs(each)
    ]


def _between_runs(container: ContainerFacts) -> bool:
    return bool(container.restart_count) and container.known_status == "RUNNING"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and the host then: the lines on processors of /proc/stat, and bytes of memory."""

    at: Instant
    stat: bytes
    memory: int


@dataclass(slots=True)
class Reading:
    """One container at one moment, in the kernel's words, and what its earlier runs have used."""

    moment: Moment
    layout: Layout
    contents: list[bytes]
    limits: Limits
    net_dev: bytes | None
    run: int | None = None
    earlier: Usage | None = None
    _sample: Sample | None = None

    @property
    def sample(self) -> Sample:
        """The same in numbers, from the first time that somebody wants them."""
        if self._sample is None:
            net_dev, usage = self.net_dev, self.layout.usage(self.contents, self.limits)
            self._sample = Sample(
                at=self.moment.at,
                usage=usage if self.earlier is None else summed(self.earlier, usage),
                host_cpu=proc.host_cpu(self.moment.stat.decode()),
                host_memory=self.moment.memory,
                networks=None if net_dev is None else proc.interfaces(net_dev.decode()),
            )
        return self._sample


@dataclass(slots=True)
class Kept:
    """A container's last two readings. `encoded` is what has been shown of them, by form."""

    latest: Reading
    previous: Reading | None
    encoded: dict[str, bytes] = field(default_factory=dict)

    @property
    def samples(self) -> Samples:
        """Both in numbers."""
        previous = self.previous
        return Samples(self.latest.sample, None if previous is None else previous.sample)


class Sweeper:
    """The open files of the containers that are measured, and what was read. To be closed."""

    def __init__(
        self,
        cgroupfs: Path = CGROUPFS,
        procfs: Path = PROCFS,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.kept: dict[str, Kept] = {}
        self._cgroupfs = cgroupfs
        self._procfs = procfs
        self._clock_ns = clock_ns
        self._layout: Layout | None = None
        self._stat: int | None = None
        self._readers: dict[str, tuple[Reader, int]] = {}
        self._failing: set[str] = set()
        self._last_of_runs: dict[str, Reading] = {}

    def sweep(self, every: Iterable[Target]) -> None:
        """Samples these containers, and forgets all others. As `measure`."""
        wanted = {each.docker_id: each for each in every}
        for gone in [each for each in self._readers if each not in wanted]:
            self._forget(gone)
        self._failing &= wanted.keys()
        self._last_of_runs = {
            key: last for key, last in self._last_of_runs.items() if key in wanted
        }
        self.measure(wanted.values())

    def measure(self, some: Iterable[Target]) -> None:
        """Samples these containers, but for those that were sampled a moment ago.

        Those that are not running or can't be measured have no samples afterwards. Raises OSError
        when the host's own figures can't be read.
        """
        networks: dict[str, bytes] = {}
        moment, until = None, 0
        for target in some:
            if not target.path:
                self._forget(target.docker_id)
                continue
            if moment is None or time.monotonic_ns() >= until:
                moment, until = self._moment(), time.monotonic_ns() + _SKEW_NS
            kept = self.kept.get(target.docker_id)
            if kept is not None and 0 <= moment.at - kept.latest.moment.at < _LEAST_NS:
                continue
            reading = self._reading(target, moment, networks)
            if reading is not None:
                previous = None if kept is None else kept.latest
                self.kept[target.docker_id] = Kept(reading, previous)

    def close(self) -> None:
        """Closes all files."""
        for each in list(self._readers):
            self._forget(each)
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None

    def _moment(self) -> Moment:
        if self._stat is None:
            self._stat = os.open(self._procfs / "stat", os.O_RDONLY)
        stat = os.pread(self._stat, _STAT_SIZE, 0)
        memory = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
        return Moment(Instant(self._clock_ns()), stat[: stat.find(b"\nintr")], memory)

    def _reading(
        self, target: Target, moment: Moment, networks: dict[str, bytes]
    ) -> Reading | None:
        """`networks` are those of containers found alive in the same sweep."""
        try:
            opened = self._reader(target, moment.at)
            net_dev = networks.get(target.network) or opened.interfaces(self._procfs)
            contents = opened.read()
        except Gone:
            self._forget(target.docker_id)
            return None
        except OSError as error:
            self._forget(target.docker_id)
            self._complain(target, error)
            return None
        self._failing.discard(target.docker_id)
        if net_dev is not None:
            networks[target.network] = net_dev
        assert self._layout is not None
        earlier = None if target.run is None else self._earlier(target.docker_id, target.run)
        return Reading(moment, self._layout, contents, opened.limits, net_dev, target.run, earlier)

    def _earlier(self, docker_id: str, run: int) -> Usage | None:
        """What the runs before this one have used, as far as it was measured."""
        kept = self.kept.get(docker_id)
        last = self._last_of_runs.get(docker_id) if kept is None else kept.latest
        if last is None:
            return None
        return last.earlier if last.run == run else last.sample.usage

    def _reader(self, target: Target, now: Instant) -> Reader:
        """The container's open files, opened anew every minute, or when it has become another."""
        found = self._readers.get(target.docker_id)
        if found is not None:
            opened, since = found
            if (opened.path, opened.pid) == target[1:3] and 0 <= now - since < _REOPEN_NS:
                return opened
            del self._readers[target.docker_id]
            opened.close()
        if self._layout is None:
            self._layout = reader.layout(self._cgroupfs)
        opened = Reader(self._cgroupfs, self._layout, target.path, target.pid)
        self._readers[target.docker_id] = opened, now
        return opened

    def _forget(self, docker_id: str) -> None:
        found = self._readers.pop(docker_id, None)
        if found is not None:
            found[0].close()
        kept = self.kept.pop(docker_id, None)
        if kept is not None and kept.latest.run is not None:
            self._last_of_runs[docker_id] = kept.latest

    def _complain(self, target: Target, error: OSError) -> None:
        """Once for each container, until it can be measured again."""
        if target.docker_id not in self._failing:
            self._failing.add(target.docker_id)
            log.warning("can't read the cgroup %s, it has no statistics: %s", target.path, error)
