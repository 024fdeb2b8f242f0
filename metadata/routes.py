"""The table of routes: what each shows and which status code its failures have.

Codes are those of the ECS task metadata endpoint and differ on purpose: version 3 answers an
unknown id with 500, its stats with 400, version 4 with 404. `versions` answers by it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from metadata.encoding import Json
from metadata.source import ContainerFacts, TaskFacts
from metadata.stats import render as stats
from metadata.stats.render import Samples
from metadata.stats.sampler import Sampler
from metadata.task import render
from metadata.task.render import NotYetKnown

_ShowStats = Callable[[ContainerFacts, Samples], Json]
_Measure = Callable[[Sampler, TaskFacts, ContainerFacts], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class MetadataRoute:
    """Shows facts alone, so an answer holds for as long as the facts do."""

    subject: str
    unknown_status: int
    failed_status: int
    show: Callable[[TaskFacts, ContainerFacts], Json]


@dataclass(frozen=True, slots=True)
class StatsRoute:
    """Shows what is measured."""

    subject: str
    unknown_status: int
    failed_status: int
    show: _Measure


def _of_container(show: _ShowStats) -> _Measure:
    async def measured(sampler: Sampler, _: TaskFacts, container: ContainerFacts) -> Json:
        samples = await sampler.refresh([container])
        if container.docker_id not in samples:
            raise NotYetKnown(f"there are no statistics of container {container.name}")
        return show(container, samples[container.docker_id])

    return measured


def _of_task(show: _ShowStats, absent: Json) -> _Measure:
    async def measured(sampler: Sampler, task: TaskFacts, _: ContainerFacts) -> Json:
        existing = [each for each in task.containers if each.docker_id]
        samples = await sampler.refresh(existing)
        return {
            each.docker_id: show(each, samples[each.docker_id])
            if each.docker_id in samples
            else absent
            for each in existing
        }

    return measured


# By version and by what follows the endpoint id.
ROUTES: dict[tuple[str, str], MetadataRoute | StatsRoute] = {
    ("v3", ""): MetadataRoute(
        "V3 container metadata", 500, 500, lambda _, container: render.container_v3(container)
    ),
    ("v3", "/task"): MetadataRoute(
        "V3 task metadata", 500, 500, lambda task, _: render.task_v3(task)
    ),
    ("v3", "/stats"): StatsRoute("V3 container stats", 400, 400, _of_container(stats.stats_v3)),
    ("v3", "/task/stats"): StatsRoute("V3 task stats", 400, 400, _of_task(stats.stats_v3, None)),
    ("v4", ""): MetadataRoute(
        "V4 container metadata", 404, 500, lambda _, container: render.container_v4(container)
    ),
    ("v4", "/task"): MetadataRoute(
        "V4 task metadata", 404, 500, lambda task, _: render.task_v4(task)
    ),
    ("v4", "/stats"): StatsRoute("V4 container stats", 404, 500, _of_container(stats.stats_v4)),
    ("v4", "/task/stats"): StatsRoute("V4 task stats", 404, 500, _of_task(stats.stats_v4, {})),
}
