"""Tests of counters across the runs of one container."""

from dataclasses import replace

from metadata.stats.carried import summed
from metadata.stats.cgroup import CpuUsage, MemoryUsage, Transfers, Usage

MEMORY = MemoryUsage(usage=5, max_usage=9, failures=1, limit=None, counters={})
BEFORE = Usage(
    cpu=CpuUsage(100, 60, 40, (70, 30), 3, 2, 1),
    memory=MEMORY,
    processes=4,
    process_limit=None,
    io_bytes=(Transfers(8, 0, "Read", 10), Transfers(8, 16, "Write", 7)),
    io_operations=(Transfers(8, 0, "Read", 1),),
)
NOW = Usage(
    cpu=CpuUsage(5, 3, 2, (4, 1), 1, 1, 1),
    memory=replace(MEMORY, usage=2),
    processes=1,
    process_limit=10,
    io_bytes=(Transfers(8, 0, "Read", 1),),
    io_operations=(),
)


def test_processor_time_and_transfers_add_up() -> None:
    shown = summed(BEFORE, NOW)
    assert shown.cpu == CpuUsage(105, 63, 42, (74, 31), 4, 3, 2)
    assert shown.io_bytes == (Transfers(8, 0, "Read", 11), Transfers(8, 16, "Write", 7))
    assert shown.io_operations == (Transfers(8, 0, "Read", 1),)


def test_memory_and_processes_are_of_the_present() -> None:
    shown = summed(BEFORE, NOW)
    assert shown.memory.usage == 2
    assert (shown.processes, shown.process_limit) == (1, 10)


def test_another_number_of_processors_is_that_of_the_present() -> None:
    before = replace(BEFORE, cpu=replace(BEFORE.cpu, per_cpu_ns=(1, 2, 3)))
    assert summed(before, NOW).cpu.per_cpu_ns == (4, 1)
