"""What the kernel says in /proc about processors and network interfaces, parsed.

Pure; `sweep` reads the files. Field layouts: proc(5).
"""

from dataclasses import dataclass

# /proc counts processor time in USER_HZ, which is 100 on every architecture Linux runs on now.
_NS_PER_TICK = 1_000_000_000 // 100
# user, nice, system, idle, iowait, irq, softirq: steal and guest time are not counted, as Docker.
_CPU_FIELDS = slice(1, 8)


@dataclass(frozen=True, slots=True)
class HostCpu:
    """Time spent by all processors since boot, idle included, and how many are online."""

    total_ns: int
    online: int


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """Counters of one network interface."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def host_cpu(stat: str) -> HostCpu:
    """From the text of /proc/stat, or from the lines it begins with."""
    rows = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    total = sum(int(field) for row in rows if row[0] == "cpu" for field in row[_CPU_FIELDS])
    return HostCpu(total * _NS_PER_TICK, sum(row[0] != "cpu" for row in rows))


def interfaces(net_dev: str) -> dict[str, InterfaceCounters]:
    """Each interface but the loopback, from the text of /proc/<pid>/net/dev."""
    counters = {}
    for line in net_dev.splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        fields = [int(field) for field in rest.split()]
        if name.strip() != "lo":
            counters[name.strip()] = InterfaceCounters(*fields[0:4], *fields[8:12])
    return counters
