"""Metrics of tasks: what they are, in which state, within which limits. Pure."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from metadata.introspection.metrics.scrape import Scrape
from metadata.introspection.render import shown
from metadata.introspection.words import LAST_WORDS, last_status
from metadata.source import TaskFacts

LABELS = ("cluster", "family", "revision", "task_id")

_MIB = 1024 * 1024
_UNITS_PER_VCPU = 1024


def labels(task: TaskFacts) -> list[str]:
    """The values of `LABELS`."""
    return [
        task.cluster.rpartition("/")[2],
        task.family,
        task.revision,
        task.arn.rpartition("/")[2],
    ]


def families(scrape: Scrape) -> Iterator[Metric]:
    """All metrics that have a task and no container in their labels."""
    info = InfoMetricFamily("hostler_task", "What a task is.", labels=LABELS)
    state = GaugeMetricFamily(
        "hostler_task_state", "1 for the last status that a task has.", labels=[*LABELS, "status"]
    )
    started = _gauge("hostler_task_started_seconds", "When the last container had started.")
    cpus = _gauge("hostler_task_cpu_limit_cpus", "A task's own CPU limit, in processors.")
    memory = _gauge("hostler_task_memory_limit_bytes", "A task's own memory limit.")
    for task in scrape.tasks:
        values = labels(task)
        info.add_metric(values, {"network_mode": task.network_mode, "group": task.group})
        status = last_status(task)
        for word in LAST_WORDS:
            state.add_metric([*values, word], int(word == status))
        at = _started(task)
        if at is not None:
            started.add_metric(values, at / 1e9)
        if task.limits and task.limits.cpu_units:
            cpus.add_metric(values, task.limits.cpu_units / _UNITS_PER_VCPU)
        if task.limits and task.limits.memory_mib:
            memory.add_metric(values, task.limits.memory_mib * _MIB)
    yield from (info, state, started, cpus, memory)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=LABELS)


def _started(task: TaskFacts) -> int | None:
    """Nanoseconds since the epoch; None until every container has started."""
    times = [each.started_at for each in shown(task)]
    return max((each for each in times if each), default=None) if all(times) else None
