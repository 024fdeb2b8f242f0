"""Volumes of a task: directories of the host, and empty ones that are kept as long as the task."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.host.provisions import ProvisionError
from agent.oci.inputs import BindMount
from agent.task.definition import ContainerDefinition
from agent.task.model import Task
from agent.task.names import Names


class VolumeError(ProvisionError):
    """A volume can't be made; the text says which and why."""

    name = "VolumeError"


def mounts(task: Task, container: ContainerDefinition, names: Names) -> tuple[BindMount, ...]:
    """The container's mount points, each directory made if it is missing. Raises VolumeError.

    A missing directory of the host is made, as Docker does for ECS. Blocking, but only on mkdir.
    """
    sources = {each.name: source(task, each.name, names) for each in task.definition.volumes}
    made = []
    for point in container.mount_points:
        directory = sources[point.source_volume]
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            pass  # a file of the host, or a socket, is mounted as it is
        except OSError as error:
            raise VolumeError(f"volume {point.source_volume}: {error}") from error
        made.append(BindMount(str(directory), point.container_path, point.read_only))
    return tuple(made)


def remove(task: Task, names: Names) -> None:
    """The task's own volumes are gone. Raises OSError."""
    path = names.volumes(task.id)
    if path.exists():
        shutil.rmtree(path)


def source(task: Task, name: str, names: Names) -> Path:
    """Where volume ``name`` of the task, which must be one of its own, is on this host."""
    volume = next(each for each in task.definition.volumes if each.name == name)
    if volume.host is not None and volume.host.source_path:
        return Path(volume.host.source_path)
    return names.volumes(task.id) / name
