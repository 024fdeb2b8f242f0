"""What the files of a cgroup, version 1 or 2, say a container uses.

Both kinds of host give the same `Usage`, with cgroup v1's names for memory counters and blkio
operations: consumers of Docker's statistics were written against those. On v2 its own memory
counters are given as well; its own names of operations are not, since who adds up `Read` and
`read` would count twice.

Pure: `reader` reads the files that a `Layout` names. What a kernel doesn't have is empty.
Sources: the kernel's admin-guide, cgroup-v1/* and cgroup-v2.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

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
# cpuacct.stat counts in USER_HZ, which is 100 on every architecture Linux runs on now.
_NS_PER_TICK = 1_000_000_000 // 100


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


@dataclass(frozen=True, slots=True)
class Limits:
    """What changes so rarely that it isn't read with every sample; None is no limit."""

    processes: int | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Which files a version of cgroups has, each by its controller (empty on v2) and name.

    The first of `files` exists in every cgroup, and the last one counts its processes. The
    processor's come first, as close as can be to the host's own count. `limits` holds the file of
    the process limit, and of the memory limit of each level where no counter tells the lowest.
    """

    files: tuple[tuple[str, str], ...]
    process_limit: tuple[str, str]
    memory_limit: str
    parse: Callable[[Mapping[str, str], Limits], Usage]

    def usage(self, contents: Iterable[bytes], limits: Limits) -> Usage:
        """What the contents of `files`, in their order, mean."""
        names = (name for _, name in self.files)
        texts = (each.decode() for each in contents)
        return self.parse(dict(zip(names, texts, strict=True)), limits)


def _usage_v1(files: Mapping[str, str], limits: Limits) -> Usage:
    return Usage(
        cpu=_cpu_v1(files),
        memory=_memory_v1(files),
        processes=number(files["pids.current"]),
        process_limit=limits.processes,
        io_bytes=transfers_v1(files["blkio.throttle.io_service_bytes_recursive"]),
        io_operations=transfers_v1(files["blkio.throttle.io_serviced_recursive"]),
    )


def _cpu_v1(files: Mapping[str, str]) -> CpuUsage:
    """Modes come from cpuacct.stat, which the kernel scales so that they add up to the total.

    The total is the sum over the processors, as cpuacct.usage, and then agrees with its parts.
    """
    per_cpu = tuple(map(int, files["cpuacct.usage_percpu"].split()))
    modes = keyed(files["cpuacct.stat"])
    throttling = keyed(files["cpu.stat"])
    return CpuUsage(
        total_ns=sum(per_cpu),
        user_ns=modes.get("user", 0) * _NS_PER_TICK,
        kernel_ns=modes.get("system", 0) * _NS_PER_TICK,
        per_cpu_ns=per_cpu,
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
    )


def _memory_v1(files: Mapping[str, str]) -> MemoryUsage:
    counters = keyed(files["memory.stat"])
    return MemoryUsage(
        usage=number(files["memory.usage_in_bytes"]) or 0,
        max_usage=number(files["memory.max_usage_in_bytes"]),
        failures=number(files["memory.failcnt"]),
        limit=counters.get("hierarchical_memory_limit"),
        counters=counters,
    )


def _usage_v2(files: Mapping[str, str], limits: Limits) -> Usage:
    io = files["io.stat"]
    return Usage(
        cpu=_cpu_v2(files),
        memory=_memory_v2(files, limits),
        processes=number(files["pids.current"]),
        process_limit=limits.processes,
        io_bytes=transfers_v2(io, {"Read": "rbytes", "Write": "wbytes", "Discard": "dbytes"}),
        io_operations=transfers_v2(io, {"Read": "rios", "Write": "wios", "Discard": "dios"}),
    )


def _cpu_v2(files: Mapping[str, str]) -> CpuUsage:
    stat = keyed(files["cpu.stat"])
    return CpuUsage(
        total_ns=stat.get("usage_usec", 0) * 1000,
        user_ns=stat.get("user_usec", 0) * 1000,
        kernel_ns=stat.get("system_usec", 0) * 1000,
        per_cpu_ns=(),
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_usec", 0) * 1000,
    )


def _memory_v2(files: Mapping[str, str], limits: Limits) -> MemoryUsage:
    own = keyed(files["memory.stat"])
    old = v1_counters(own, number(files["memory.swap.current"]) or 0)
    if limits.memory is not None:
        old["hierarchical_memory_limit"] = limits.memory
    return MemoryUsage(
        usage=number(files["memory.current"]) or 0,
        max_usage=number(files["memory.peak"]),
        failures=keyed(files["memory.events"]).get("max"),
        limit=limits.memory,
        counters=own | old,
    )


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


V1 = Layout(
    files=(
        ("cpuacct", "cpuacct.usage_percpu"),
        ("cpuacct", "cpuacct.stat"),
        ("cpu", "cpu.stat"),
        ("memory", "memory.usage_in_bytes"),
        ("memory", "memory.max_usage_in_bytes"),
        ("memory", "memory.failcnt"),
        ("memory", "memory.stat"),
        ("blkio", "blkio.throttle.io_service_bytes_recursive"),
        ("blkio", "blkio.throttle.io_serviced_recursive"),
        ("pids", "pids.current"),
    ),
    process_limit=("pids", "pids.max"),
    memory_limit="",
    parse=_usage_v1,
)

V2 = Layout(
    files=(
        ("", "cpu.stat"),
        ("", "memory.current"),
        ("", "memory.peak"),
        ("", "memory.swap.current"),
        ("", "memory.events"),
        ("", "memory.stat"),
        ("", "io.stat"),
        ("", "pids.current"),
    ),
    process_limit=("", "pids.max"),
    memory_limit="memory.max",
    parse=_usage_v2,
)
