"""Reads what a container uses from its cgroup, version 1 or 2.

Both kinds of host give the same `Usage`, with cgroup v1's names for memory counters and blkio
operations: consumers of Docker's statistics were written against those. On v2 its own memory
counters are given as well.

Reads block (briefly); `sampler` calls this from a thread. Files that a kernel doesn't have count
as empty. Sources: the kernel's admin-guide, cgroup-v1/* and cgroup-v2.
"""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

# Memory counters of cgroup v1 whose name in v2 differs; most mean exactly the same.
_V2_NAME = {
    "cache": "file",
    "rss": "anon",
    "rss_huge": "anon_thp",
    "mapped_file": "file_mapped",
    "dirty": "file_dirty",
    "writeback": "file_writeback",
}
_SAME_NAME = (
    "shmem",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
)


class Gone(Exception):
    """The cgroup doesn't exist or no process is left in it."""


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """Processor time. `per_cpu_ns` is empty with cgroup v2, which doesn't count it."""

    total_ns: int
    user_ns: int
    kernel_ns: int
    per_cpu_ns: tuple[int, ...]
    periods: int
    throttled_periods: int
    throttled_ns: int


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Memory in bytes. `limit` is the lowest of the cgroup and its parents, None without one."""

    usage: int
    max_usage: int | None
    failures: int | None
    limit: int | None
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Transfers:
    """One counter of one block device: bytes or operations of a kind (`Read`, `Write`, ...)."""

    major: int
    minor: int
    op: str
    value: int


@dataclass(frozen=True, slots=True)
class Usage:
    """All that is read of one cgroup. Process counts are None where they aren't counted."""

    cpu: CpuUsage
    memory: MemoryUsage
    processes: int | None
    process_limit: int | None
    io_bytes: tuple[Transfers, ...]
    io_operations: tuple[Transfers, ...]


def usage(root: Path, path: str) -> Usage:
    """The usage of cgroup `path` below the cgroup mount at `root`. Raises Gone."""
    unified = (root / "cgroup.controllers").exists()
    return _usage_v2(root, path) if unified else _usage_v1(root, path)


def _usage_v1(root: Path, path: str) -> Usage:
    def directory(controller: str) -> Path:
        return root / controller / path.lstrip("/")

    pids, blkio = directory("pids"), directory("blkio")
    processes = number(_text(pids / "pids.current"))
    _require_life(pids, processes)
    return Usage(
        cpu=_cpu_v1(directory("cpuacct"), directory("cpu")),
        memory=_memory_v1(directory("memory")),
        processes=processes,
        process_limit=number(_text(pids / "pids.max")),
        io_bytes=transfers_v1(_text(blkio / "blkio.throttle.io_service_bytes_recursive")),
        io_operations=transfers_v1(_text(blkio / "blkio.throttle.io_serviced_recursive")),
    )


def _cpu_v1(cpuacct: Path, cpu: Path) -> CpuUsage:
    total = number(_text(cpuacct / "cpuacct.usage"))
    if total is None:
        raise Gone(str(cpuacct))
    throttling = keyed(_text(cpu / "cpu.stat"))
    return CpuUsage(
        total_ns=total,
        user_ns=number(_text(cpuacct / "cpuacct.usage_user")) or 0,
        kernel_ns=number(_text(cpuacct / "cpuacct.usage_sys")) or 0,
        per_cpu_ns=tuple(int(each) for each in _text(cpuacct / "cpuacct.usage_percpu").split()),
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
    )


def _memory_v1(memory: Path) -> MemoryUsage:
    counters = keyed(_text(memory / "memory.stat"))
    return MemoryUsage(
        usage=number(_text(memory / "memory.usage_in_bytes")) or 0,
        max_usage=number(_text(memory / "memory.max_usage_in_bytes")),
        failures=number(_text(memory / "memory.failcnt")),
        limit=counters.get("hierarchical_memory_limit"),
        counters=counters,
    )


def _usage_v2(root: Path, path: str) -> Usage:
    directory = root / path.lstrip("/")
    processes = number(_text(directory / "pids.current"))
    _require_life(directory, processes)
    io = _text(directory / "io.stat")
    return Usage(
        cpu=_cpu_v2(directory),
        memory=_memory_v2(root, directory),
        processes=processes,
        process_limit=number(_text(directory / "pids.max")),
        io_bytes=transfers_v2(io, {"Read": "rbytes", "Write": "wbytes", "Discard": "dbytes"}),
        io_operations=transfers_v2(io, {"Read": "rios", "Write": "wios", "Discard": "dios"}),
    )


def _cpu_v2(directory: Path) -> CpuUsage:
    stat = keyed(_text(directory / "cpu.stat"))
    if "usage_usec" not in stat:
        raise Gone(str(directory))
    return CpuUsage(
        total_ns=stat["usage_usec"] * 1000,
        user_ns=stat.get("user_usec", 0) * 1000,
        kernel_ns=stat.get("system_usec", 0) * 1000,
        per_cpu_ns=(),
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_usec", 0) * 1000,
    )


def _memory_v2(root: Path, directory: Path) -> MemoryUsage:
    own = keyed(_text(directory / "memory.stat"))
    limit = _limit_v2(root, directory)
    old = v1_counters(own, number(_text(directory / "memory.swap.current")) or 0)
    if limit is not None:
        old["hierarchical_memory_limit"] = limit
    return MemoryUsage(
        usage=number(_text(directory / "memory.current")) or 0,
        max_usage=number(_text(directory / "memory.peak")),
        failures=keyed(_text(directory / "memory.events")).get("max"),
        limit=limit,
        counters=own | old,
    )


def _limit_v2(root: Path, directory: Path) -> int | None:
    """The lowest limit from the cgroup up to the root, which has none."""
    levels = [directory, *directory.parents]
    limits = [number(_text(level / "memory.max")) for level in levels if level.is_relative_to(root)]
    return min((limit for limit in limits if limit is not None), default=None)


def v1_counters(stat: dict[str, int], swap: int) -> dict[str, int]:
    """Version 1's names, plain and `total_`, for the counters of a v2 memory.stat.

    v2 counts always include children, as `total_` does; containers rarely have any.
    """
    names = chain(_V2_NAME.items(), ((name, name) for name in _SAME_NAME))
    counters = {old: stat[new] for old, new in names if new in stat} | {"swap": swap}
    return counters | {f"total_{name}": value for name, value in counters.items()}


def keyed(text: str) -> dict[str, int]:
    """A flat keyed file: lines of a name and a number."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def number(text: str) -> int | None:
    """A file of one number; None for `max` (no limit) and for no file."""
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() else None


def transfers_v1(text: str) -> tuple[Transfers, ...]:
    """Lines of `8:0 Read 4096`; the sum over all devices, which has no device, is left out."""
    rows = (line.split() for line in text.splitlines())
    return tuple(_transfer(row[0], row[1], int(row[2])) for row in rows if len(row) == 3)


def transfers_v2(text: str, columns: dict[str, str]) -> tuple[Transfers, ...]:
    """Lines of `8:0 rbytes=4096 wbytes=0 ...`, as v1 operations and their `Total`."""
    return tuple(chain.from_iterable(_device(line.split(), columns) for line in text.splitlines()))


def _device(row: list[str], columns: dict[str, str]) -> Iterable[Transfers]:
    values = dict(field.split("=", 1) for field in row[1:] if "=" in field)
    counts = {op: int(values[column]) for op, column in columns.items() if column in values}
    if counts:
        counts["Total"] = sum(counts.values())
    return [_transfer(row[0], op, value) for op, value in counts.items()]


def _transfer(device: str, op: str, value: int) -> Transfers:
    major, minor = device.split(":")
    return Transfers(int(major), int(minor), op, value)


def _require_life(directory: Path, processes: int | None) -> None:
    """An empty cgroup is that of a stopped container; None is a host that doesn't count them."""
    if processes == 0:
        raise Gone(str(directory))


def _text(path: Path) -> str:
    """The file's text; empty when it isn't there, or is removed while we read (ENODEV)."""
    try:
        with path.open("rb", buffering=0) as file:  # half the cost of read_text
            return file.readall().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
        raise
