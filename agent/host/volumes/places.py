"""Where the volumes of a task are on this host; it follows from the definition alone.

A volume that is mounted for one task has its mount point below the run directory, where no data
ever is; a shared volume is mounted over its own directory. So what removes the directories of a
task meets no mount, and data is only below the state directory.
"""

from __future__ import annotations

from pathlib import Path

from agent.task.definition import Volume
from agent.task.model import Task
from agent.task.names import Names


def volume(task: Task, name: str) -> Volume:
    """Volume ``name``, which must be one of the task's."""
    return next(each for each in task.definition.volumes if each.name == name)


def source(task: Task, name: str, names: Names) -> Path:
    """Where volume ``name`` of the task, which must be one of its own, is on this host."""
    of = volume(task, name)
    if of.host is not None and of.host.source_path:
        return Path(of.host.source_path)
    if is_shared(of):
        return shared_data(names, name)
    if is_mounted(of):
        return mount_point(task, name, names)
    return names.volumes(task.id) / name


def is_shared(of: Volume) -> bool:
    """Whether it outlives tasks, and several may have it."""
    docker = of.docker_volume_configuration
    return docker is not None and docker.scope == "shared"


def is_mounted(of: Volume) -> bool:
    """Whether something is mounted for the task alone."""
    docker = of.docker_volume_configuration
    if docker is not None:
        return docker.scope == "task" and bool(docker.driver_opts)
    return of.efs_volume_configuration is not None


def is_provided(of: Volume) -> bool:
    """Whether the volume is part of the provision VOLUMES."""
    return bool(of.docker_volume_configuration or of.efs_volume_configuration)


def mount_point(task: Task, name: str, names: Names) -> Path:
    """Where a volume is mounted that is the task's own."""
    return names.task_mounts(task.id) / "own" / name


def claim(task: Task, name: str, names: Names) -> Path:
    """The empty directory that says: the task uses shared volume ``name``."""
    return names.task_mounts(task.id) / "shared" / name


def shared_data(names: Names, name: str) -> Path:
    """What containers see of a shared volume."""
    return names.shared_volumes / name / "data"
