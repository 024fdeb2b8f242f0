"""What a container mounts in the end: its own mount points and those that it takes over."""

from __future__ import annotations

from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition, MountPoint
from agent.task.definition.task import TaskDefinition
from agent.task.definition.volume_rules import normal_path


def mount_points(task: TaskDefinition, name: str) -> tuple[MountPoint, ...]:
    """All of container ``name``, each place once.

    Those of ``volumesFrom`` are the source's own and what that takes over itself, read-only where
    one of the steps says so. As with Docker, the container's own mount point beats another's at
    the same place, and a later source beats an earlier one. A definition that was read has no
    circles here.
    """
    containers = {each.name: each for each in task.container_definitions}
    return tuple(_of(containers[name], containers).values())


def _of(
    container: ContainerDefinition, containers: dict[str, ContainerDefinition]
) -> dict[str, MountPoint]:
    found: dict[str, MountPoint] = {}
    for taken in container.volumes_from:
        for path, each in _of(containers[taken.source_container], containers).items():
            read_only = each.read_only or taken.read_only
            found[path] = each.model_copy(update={"read_only": read_only})
    found.update(_own(container))
    return found


def _own(container: ContainerDefinition) -> Iterator[tuple[str, MountPoint]]:
    for each in container.mount_points:
        yield normal_path(each.container_path), each
