"""The table of routes: what each shows and which status code its failures have.

Codes are those of the ECS task metadata endpoint and differ on purpose: version 2 answers whatever
fails with 400, version 3 with 500, but its stats with 400, and version 4 knows 404 and 500.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from metadata.encoding import Json
from metadata.source import ContainerFacts, InstanceFacts, TaskFacts
from metadata.stats import answers as stats
from metadata.stats.answers import Form
from metadata.stats.sampler import Sampler
from metadata.task import render
from metadata.task.clock import ClockFacts

_Measure = Callable[[Sampler, TaskFacts, ContainerFacts], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: the task of the container that asks, and this host with its clock."""

    task: TaskFacts
    container: ContainerFacts
    instance: InstanceFacts
    clock: ClockFacts | None


@dataclass(frozen=True, slots=True)
class MetadataRoute:
    """Shows facts alone, so an answer holds for as long as the facts do."""

    name: str
    unknown_status: int
    failed_status: int
    show: Callable[[Subject], Json]


@dataclass(frozen=True, slots=True)
class StatsRoute:
    """Shows what is measured, as JSON."""

    name: str
    unknown_status: int
    failed_status: int
    show: _Measure


Route = MetadataRoute | StatsRoute


def _of_container(form: Form) -> _Measure:
    return lambda sampler, task, container: stats.of_container(sampler, task, container, form)


def _of_task(form: Form) -> _Measure:
    return lambda sampler, task, _: stats.of_task(sampler, task, form)


_STATS_V3 = _of_container(stats.V3), _of_task(stats.V3)
_STATS_V4 = _of_container(stats.V4), _of_task(stats.V4)


def _task_v3(of: Subject) -> dict[str, Json]:
    return render.task_v3(of.task)


def _task_v4(of: Subject) -> dict[str, Json]:
    return render.task_v4(of.task, of.clock)


def _tagged(show: Callable[[Subject], dict[str, Json]]) -> Callable[[Subject], Json]:
    return lambda of: render.tagged(show(of), of.task, of.instance)


# Version 2, by what follows the version: of the task, and of the container named after that.
V2_TASKS: dict[str, Route] = {
    "metadata": MetadataRoute("V2 task metadata", 400, 400, _task_v3),
    "metadataWithTags": MetadataRoute("V2 task metadata", 400, 400, _tagged(_task_v3)),
    "stats": StatsRoute("V2 task stats", 400, 400, _STATS_V3[1]),
}
V2_CONTAINERS: dict[str, Route] = {
    "metadata": MetadataRoute(
        "V2 container metadata", 400, 400, lambda of: render.container_v3(of.container)
    ),
    "stats": StatsRoute("V2 container stats", 400, 400, _STATS_V3[0]),
}

# Versions 3 and 4, by version and by what follows the endpoint id.
ROUTES: dict[tuple[str, str], Route] = {
    ("v3", ""): MetadataRoute(
        "V3 container metadata", 500, 500, lambda of: render.container_v3(of.container)
    ),
    ("v3", "/task"): MetadataRoute("V3 task metadata", 500, 500, _task_v3),
    ("v3", "/taskWithTags"): MetadataRoute("V3 task metadata", 500, 500, _tagged(_task_v3)),
    ("v3", "/stats"): StatsRoute("V3 container stats", 400, 400, _STATS_V3[0]),
    ("v3", "/task/stats"): StatsRoute("V3 task stats", 400, 400, _STATS_V3[1]),
    ("v4", ""): MetadataRoute(
        "V4 container metadata", 404, 500, lambda of: render.container_v4(of.container)
    ),
    ("v4", "/task"): MetadataRoute("V4 task metadata", 404, 500, _task_v4),
    ("v4", "/taskWithTags"): MetadataRoute("V4 task metadata", 404, 500, _tagged(_task_v4)),
    ("v4", "/stats"): StatsRoute("V4 container stats", 404, 500, _STATS_V4[0]),
    ("v4", "/task/stats"): StatsRoute("V4 task stats", 404, 500, _STATS_V4[1]),
}
