"""What a container mounts of its task's volumes, and what goes when a task is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from agent.host.volumes import places, requests, trees
from agent.host.volumes.errors import VolumeError
from agent.host.volumes.shared import SharedVolumes
from agent.oci.inputs import BindMount
from agent.task.definition import mount_points
from agent.task.model import Task
from agent.task.names import Names

_OPEN = 0o755
"""Mode of a new volume, whatever the umask: as Docker's are."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A volume that may get what the image has at ``path``.

    ``mark`` is a file that is there from the beginning of that to its end.
    """

    source: Path
    path: str
    mark: Path


def mounts(task: Task, name: str, names: Names) -> tuple[BindMount, ...]:
    """The mount points of container ``name``, also those it takes over from others.

    A missing directory of the host is made, as Docker does for ECS; so are the task's own. Raises
    VolumeError. Blocking, but only on mkdir.
    """
    made = []
    for point in mount_points(task.definition, name):
        of = places.volume(task, point.source_volume)
        directory = places.source(task, of.name, names)
        if not places.is_shared(of) and not places.is_mounted(of):
            _ensure(directory, of.name)
        made.append(BindMount(str(directory), point.container_path, point.read_only))
    return tuple(made)


def fresh(task: Task, name: str, names: Names) -> Iterator[Fresh]:
    """The volumes of container ``name``'s own mount points that Docker would fill from the image.

    Not directories of the host, nor what is on a server, which may hang. Blocking. Raises
    VolumeError, OSError.
    """
    shared = SharedVolumes(names.shared_volumes)
    for point in task.container(name).mount_points:
        of = places.volume(task, point.source_volume)
        if (of.host is not None and of.host.source_path) or of.efs_volume_configuration:
            continue
        docker = of.docker_volume_configuration
        request = requests.of_driver(docker.driver_opts) if docker else None
        mark = names.volumes(task.id) / f".{sha256(of.name.encode()).hexdigest()[:16]}.filling"
        if places.is_shared(of):
            found = shared.find(of.name)
            request, mark = found.request if found else None, shared.mark(of.name)
        if request is None or request.type not in requests.NETWORK_TYPES:
            yield Fresh(places.source(task, of.name, names), point.container_path, mark)


def remove(task: Task, names: Names) -> None:
    """The task's own volumes are gone, and whatever is still mounted for it. Raises OSError."""
    trees.remove(names.task_mounts(task.id))
    trees.remove(names.volumes(task.id))


def _ensure(directory: Path, name: str) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # a directory, a file, or a socket is mounted as it is
            directory.mkdir()
            directory.chmod(_OPEN)
    except OSError as error:
        raise VolumeError(f"volume {name}: {error}") from error
