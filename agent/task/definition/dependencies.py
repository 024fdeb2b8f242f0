"""Which containers a container needs, and in what state: ``dependsOn`` and what implies it.

ECS's agent adds a dependency for every link (the target must have started) and for every container
whose volumes are taken over (it must exist; amazon-ecs-agent, task.go).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.task.definition.container import Condition, ContainerDefinition


@dataclass(frozen=True, slots=True)
class Need:
    """``target`` must be in the state ``condition``; CREATE comes from volumesFrom alone."""

    target: str
    condition: Condition | Literal["CREATE"]


def needs(container: ContainerDefinition) -> tuple[Need, ...]:
    """All that must be true of others before the container may be made, each once."""
    return tuple(dict.fromkeys(_all(container)))


def _all(container: ContainerDefinition) -> Iterator[Need]:
    for each in container.depends_on:
        yield Need(each.container_name, each.condition)
    for link in container.links:
        yield Need(link.split(":")[0], "START")
    for volumes in container.volumes_from:
        yield Need(volumes.source_container, "CREATE")
