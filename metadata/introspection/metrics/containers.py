"""Metrics of containers, from their facts and their latest sample. Pure.

Labels have only what the task definition says: a program inside a container can't make series. Its
network interfaces, whose names it may choose, are added up. All containers of an awsvpc task share
one network, so each of them shows the same counters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from metadata.introspection.metrics import tasks
from metadata.introspection.metrics.scrape import Scrape
from metadata.introspection.render import shown
from metadata.introspection.words import WORDS, backend
from metadata.source import ContainerFacts, TaskFacts
from metadata.stats.cgroup import Transfers
from metadata.stats.render import Sample

LABELS = (*tasks.LABELS, "container")

_HEALTH: Final = ("HEALTHY", "UNHEALTHY", "UNKNOWN")
_NS: Final = 1e9
_MIB: Final = 1024 * 1024

_Family = CounterMetricFamily | GaugeMetricFamily
_Listed = tuple[list[str], TaskFacts, ContainerFacts]


@dataclass(frozen=True, slots=True)
class _Usage:
    """A metric whose value is in a sample; without one (None) the container has no such series."""

    kind: type[_Family]
    name: str
    documentation: str
    value: Callable[[Sample], float | None]


@dataclass(frozen=True, slots=True)
class _Fact:
    """The same for what is known without a sample."""

    kind: type[_Family]
    name: str
    documentation: str
    value: Callable[[ContainerFacts], float | None]


def families(scrape: Scrape) -> Iterator[Metric]:
    """All metrics that have a container in their labels."""
    listed = [
        ([*tasks.labels(task), each.name], task, each)
        for task in scrape.tasks
        for each in shown(task)
    ]
    yield _info(listed)
    yield _states(
        "hostler_container_state", "1 for the status that a container has.", WORDS, listed, _state
    )
    yield _states(
        "hostler_container_health",
        "1 for the outcome of a container's health check.",
        _HEALTH,
        listed,
        _health,
    )
    for fact in _FACTS:
        family = fact.kind(fact.name, fact.documentation, labels=LABELS)
        for labels, _, container in listed:
            _add(family, labels, fact.value(container))
        yield family
    yield from _usages(scrape, listed)


def _usages(scrape: Scrape, listed: list[_Listed]) -> Iterator[Metric]:
    running = [(labels, each.docker_id) for labels, _, each in listed if each.cgroup]
    latest = [(labels, scrape.latest(docker_id)) for labels, docker_id in running]
    sampled = [(labels, sample) for labels, sample in latest if sample is not None]
    for usage in _USAGES:
        family = usage.kind(usage.name, usage.documentation, labels=LABELS)
        for labels, sample in sampled:
            _add(family, labels, usage.value(sample))
        yield family


def _add(family: _Family, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)


def _info(listed: list[_Listed]) -> Metric:
    info = InfoMetricFamily("hostler_container", "What a container is.", labels=LABELS)
    for labels, _, each in listed:
        info.add_metric(labels, {"image": each.image, "runtime_id": each.docker_id})
    return info


def _states(
    name: str,
    documentation: str,
    words: tuple[str, ...],
    listed: list[_Listed],
    word_of: Callable[[ContainerFacts], str | None],
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[*LABELS, "status"])
    for labels, _, container in listed:
        is_now = word_of(container)
        for word in words if is_now is not None else ():
            family.add_metric([*labels, word], int(word == is_now))
    return family


def _state(container: ContainerFacts) -> str:
    return backend(container.known_status)


def _health(container: ContainerFacts) -> str | None:
    if container.health is None:
        return None
    return container.health.status or "UNKNOWN"


def _operations(transfers: tuple[Transfers, ...], op: str) -> int:
    return sum(each.value for each in transfers if each.op.lower() == op)


def _network(counter: str) -> Callable[[Sample], float | None]:
    """Over all interfaces; None where the container has no network of its own to count."""

    def total(sample: Sample) -> float | None:
        if not sample.networks:
            return None
        return float(sum(getattr(each, counter) for each in sample.networks.values()))

    return total


def _working_set(sample: Sample) -> float:
    """Without the file cache that the kernel would give up first, as ECS's own figures have it."""
    counters = sample.usage.memory.counters
    inactive = counters.get("total_inactive_file", counters.get("inactive_file", 0))
    return max(sample.usage.memory.usage - inactive, 0)


_FACTS: Final = (
    _Fact(
        GaugeMetricFamily,
        "hostler_container_started_seconds",
        "When a container was first started.",
        lambda each: None if each.started_at is None else each.started_at / _NS,
    ),
    _Fact(
        GaugeMetricFamily,
        "hostler_container_exit_code",
        "The exit code of a container that has ended.",
        lambda each: each.exit_code,
    ),
    _Fact(
        CounterMetricFamily,
        "hostler_container_restarts",
        "How often the restart policy has started a container again.",
        lambda each: each.restart_count,
    ),
    _Fact(
        GaugeMetricFamily,
        "hostler_container_cpu_reserved_units",
        "CPU units (1024 for a processor) that a container is given where CPU is scarce.",
        lambda each: each.limits.cpu_units,
    ),
    _Fact(
        GaugeMetricFamily,
        "hostler_container_memory_reserved_bytes",
        "Memory limit of a container by its definition.",
        lambda each: each.limits.memory_mib * _MIB or None,
    ),
)

_USAGES: Final = (
    _Usage(
        CounterMetricFamily,
        "hostler_container_cpu_usage_seconds",
        "CPU time that a container has used.",
        lambda each: each.usage.cpu.total_ns / _NS,
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_cpu_user_seconds",
        "CPU time outside of the kernel.",
        lambda each: each.usage.cpu.user_ns / _NS,
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_cpu_system_seconds",
        "CPU time inside the kernel.",
        lambda each: each.usage.cpu.kernel_ns / _NS,
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_cpu_throttled_seconds",
        "Time for which a container was held up by its CPU limit.",
        lambda each: each.usage.cpu.throttled_ns / _NS,
    ),
    _Usage(
        GaugeMetricFamily,
        "hostler_container_memory_usage_bytes",
        "Memory that a container uses, file cache included.",
        lambda each: each.usage.memory.usage,
    ),
    _Usage(
        GaugeMetricFamily,
        "hostler_container_memory_working_set_bytes",
        "Memory that a container uses, without inactive file cache.",
        _working_set,
    ),
    _Usage(
        GaugeMetricFamily,
        "hostler_container_memory_limit_bytes",
        "Memory that a container may use: the lowest limit above it, or all of the host's.",
        lambda each: each.memory_limit,
    ),
    _Usage(
        GaugeMetricFamily,
        "hostler_container_processes",
        "Processes and threads of a container.",
        lambda each: each.usage.processes,
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_receive_bytes",
        "Bytes received, over all interfaces.",
        _network("rx_bytes"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_transmit_bytes",
        "Bytes sent, over all interfaces.",
        _network("tx_bytes"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_receive_packets",
        "Packets received, over all interfaces.",
        _network("rx_packets"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_transmit_packets",
        "Packets sent, over all interfaces.",
        _network("tx_packets"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_receive_dropped",
        "Received packets that were dropped.",
        _network("rx_dropped"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_network_transmit_dropped",
        "Packets to be sent that were dropped.",
        _network("tx_dropped"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_blkio_read_bytes",
        "Bytes read from block devices.",
        lambda each: _operations(each.usage.io_bytes, "read"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_blkio_write_bytes",
        "Bytes written to block devices.",
        lambda each: _operations(each.usage.io_bytes, "write"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_blkio_reads",
        "Read operations on block devices.",
        lambda each: _operations(each.usage.io_operations, "read"),
    ),
    _Usage(
        CounterMetricFamily,
        "hostler_container_blkio_writes",
        "Write operations on block devices.",
        lambda each: _operations(each.usage.io_operations, "write"),
    ),
)
