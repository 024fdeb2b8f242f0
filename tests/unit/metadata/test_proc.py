"""Tests of what is taken from /proc."""

import pytest

from metadata.stats import proc
from metadata.stats.proc import HostCpu, InterfaceCounters
from tests.unit.metadata.kernel import NET_DEV, STAT


def test_host_cpu_counts_idle_time_but_neither_steal_nor_guest() -> None:
    assert proc.host_cpu(STAT) == HostCpu(4213 * 10_000_000, 2)


def test_memory_total_is_in_bytes() -> None:
    assert proc.memory_total("MemTotal:        1024 kB\nMemFree: 5 kB\n") == 1024 * 1024
    with pytest.raises(ValueError, match="MemTotal"):
        proc.memory_total("MemFree: 5 kB\n")


def test_interfaces_leave_out_the_loopback() -> None:
    assert proc.interfaces(NET_DEV) == {
        "eth0": InterfaceCounters(1, 2, 3, 4, 5, 6, 7, 8),
        "eth0.7": InterfaceCounters(1234567890, 0, 0, 0, 10, 0, 0, 0),
    }
