"""Counters across the runs of a container that its restart policy runs again.

Each run has a cgroup of its own, which counts from nothing. What is shown goes on from where the
last run was measured last, so that nothing falls back; ECS's agent does the same. Its network
namespace stays, and its interfaces count on by themselves. Memory and processes are of the present.
"""

from collections import Counter
from dataclasses import replace

from metadata.stats.cgroup import CpuUsage, Transfers, Usage


def summed(before: Usage, now: Usage) -> Usage:
    """The use of the present run on top of that of all earlier ones."""
    return replace(
        now,
        cpu=_cpu(before.cpu, now.cpu),
        io_bytes=_transfers(before.io_bytes, now.io_bytes),
        io_operations=_transfers(before.io_operations, now.io_operations),
    )


def _cpu(before: CpuUsage, now: CpuUsage) -> CpuUsage:
    each = now.per_cpu_ns
    if len(before.per_cpu_ns) == len(each):  # else one was switched on or off
        each = tuple(map(sum, zip(before.per_cpu_ns, each, strict=True)))
    return CpuUsage(
        total_ns=before.total_ns + now.total_ns,
        user_ns=before.user_ns + now.user_ns,
        kernel_ns=before.kernel_ns + now.kernel_ns,
        per_cpu_ns=each,
        periods=before.periods + now.periods,
        throttled_periods=before.throttled_periods + now.throttled_periods,
        throttled_ns=before.throttled_ns + now.throttled_ns,
    )


def _transfers(before: tuple[Transfers, ...], now: tuple[Transfers, ...]) -> tuple[Transfers, ...]:
    total: Counter[tuple[int, int, str]] = Counter()
    for each in (*before, *now):
        total[each.major, each.minor, each.op] += each.value
    return tuple(Transfers(*of, value) for of, value in total.items())
