"""Samples to the statistics JSON that Docker's API made customary and ECS passes on.

Pure. Keys, units and what is left out follow Docker Engine's container stats; lists are never
null, since consumers iterate over them. `sampler` makes the samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metadata.encoding import Json, present, time_text
from metadata.source import ContainerFacts, Instant
from metadata.stats.cgroup import CpuUsage, MemoryUsage, Transfers, Usage
from metadata.stats.proc import HostCpu, InterfaceCounters

_NEVER = "0001-01-01T00:00:00Z"
_NOTHING_YET = CpuUsage(0, 0, 0, (), 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one container and its host used up to one moment.

    `networks` is None when the container has no network of its own to count.
    """

    at: Instant
    usage: Usage
    host_cpu: HostCpu
    host_memory: int
    networks: Mapping[str, InterfaceCounters] | None

    @property
    def memory_limit(self) -> int:
        """Bytes. A container without a limit is limited by the host's memory."""
        limit = self.usage.memory.limit
        return self.host_memory if limit is None else min(limit, self.host_memory)


@dataclass(frozen=True, slots=True)
class Samples:
    """A container's latest sample, and the one before it once there is one."""

    latest: Sample
    previous: Sample | None = None


def stats_v3(container: ContainerFacts, samples: Samples) -> dict[str, Json]:
    """The statistics object of one container."""
    latest, previous = samples.latest, samples.previous
    return present(
        {
            "read": time_text(latest.at),
            "preread": _NEVER if previous is None else time_text(previous.at),
            "pids_stats": _pids(latest.usage),
            "blkio_stats": _blkio(latest.usage),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": _cpu(latest.usage.cpu, latest.host_cpu),
            "precpu_stats": _cpu(_NOTHING_YET, None)
            if previous is None
            else _cpu(previous.usage.cpu, previous.host_cpu),
            "memory_stats": _memory(latest.usage.memory, latest.memory_limit),
            "name": f"/{container.docker_name}",
            "id": container.docker_id,
            "networks": _networks(latest),
        }
    )


def stats_v4(container: ContainerFacts, samples: Samples) -> dict[str, Json]:
    """As version 3, with `network_rate_stats` once two samples have network counters."""
    return present({**stats_v3(container, samples), "network_rate_stats": _rates(samples)})


def _pids(usage: Usage) -> Json:
    return present({"current": usage.processes, "limit": usage.process_limit})


def _blkio(usage: Usage) -> Json:
    """Only the two lists that every kernel fills; the rest belonged to a scheduler now gone."""
    return {
        "io_service_bytes_recursive": _transfers(usage.io_bytes),
        "io_serviced_recursive": _transfers(usage.io_operations),
        "io_queue_recursive": [],
        "io_service_time_recursive": [],
        "io_wait_time_recursive": [],
        "io_merged_recursive": [],
        "io_time_recursive": [],
        "sectors_recursive": [],
    }


def _transfers(transfers: Iterable[Transfers]) -> Json:
    return [
        {"major": each.major, "minor": each.minor, "op": each.op, "value": each.value}
        for each in transfers
    ]


def _cpu(cpu: CpuUsage, host: HostCpu | None) -> Json:
    """Nanoseconds throughout; `percpu_usage` with cgroup v1 only."""
    return present(
        {
            "cpu_usage": present(
                {
                    "total_usage": cpu.total_ns,
                    "percpu_usage": cpu.per_cpu_ns or None,
                    "usage_in_kernelmode": cpu.kernel_ns,
                    "usage_in_usermode": cpu.user_ns,
                }
            ),
            "system_cpu_usage": None if host is None else host.total_ns,
            "online_cpus": None if host is None else host.online,
            "throttling_data": {
                "periods": cpu.periods,
                "throttled_periods": cpu.throttled_periods,
                "throttled_time": cpu.throttled_ns,
            },
        }
    )


def _memory(memory: MemoryUsage, limit: int) -> Json:
    return present(
        {
            "usage": memory.usage,
            "max_usage": memory.max_usage,
            "stats": memory.counters,
            "failcnt": memory.failures,
            "limit": limit,
        }
    )


def _networks(sample: Sample) -> Json:
    if not sample.networks:
        return None
    return {name: _interface(counters) for name, counters in sample.networks.items()}


def _interface(counters: InterfaceCounters) -> Json:
    return {name: getattr(counters, name) for name in InterfaceCounters.__slots__}


def _rates(samples: Samples) -> Json:
    """Bytes per second over all interfaces since the previous sample."""
    latest, previous = samples.latest, samples.previous
    if previous is None or not latest.networks or not previous.networks:
        return None
    seconds = (latest.at - previous.at) / 1e9
    if seconds <= 0:  # the wall clock was set back
        return None
    rx_before, tx_before = _totals(previous.networks)
    rx_now, tx_now = _totals(latest.networks)
    return {
        "rx_bytes_per_sec": max(rx_now - rx_before, 0) / seconds,
        "tx_bytes_per_sec": max(tx_now - tx_before, 0) / seconds,
    }


def _totals(networks: Mapping[str, InterfaceCounters]) -> tuple[int, int]:
    counters = networks.values()
    return sum(each.rx_bytes for each in counters), sum(each.tx_bytes for each in counters)
