"""What a task as a whole must have before a container of it can be made: its provisions.

Volumes that somebody must make or mount, namespaces that its containers share, and variables that
must not be on a disk. Each kind is provided by one action and taken back by another, as a network
is; who does it is in ``agent.host``. A look shows whether it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.task.actions import Provide
from agent.task.model import Progress, Task
from agent.task.records import Provision
from agent.task.view import Absent, Seen, View


def needed(task: Task) -> tuple[Provision, ...]:
    """The kinds that the task has, in the order in which they are provided."""
    return tuple(kind for kind in Provision if _has(task, kind))


def lacking(task: Task, progress: Progress, view: View) -> Iterator[Provide]:
    """What is to be provided now: what is not there and still of use."""
    if not _awaited(progress):
        return
    for kind in needed(task):
        if isinstance(view.provisions.get(kind, Absent()), Absent):
            yield Provide(kind)


def ready(task: Task, view: View) -> bool:
    """Whether a container of the task may be made, or run again."""
    return all(isinstance(view.provisions.get(each), Seen) for each in needed(task))


def _awaited(progress: Progress) -> bool:
    """Whether a container is yet to be made or started, or to be run again."""
    return any(
        (each.started_at is None and not each.ended) or each.restarting
        for each in progress.containers.values()
    )


def _has(task: Task, kind: Provision) -> bool:
    whole = task.definition
    match kind:
        case Provision.VOLUMES:
            return any(
                each.docker_volume_configuration or each.efs_volume_configuration
                for each in whole.volumes
            )
        case Provision.NAMESPACES:
            return "task" in (whole.pid_mode, whole.ipc_mode)
        case Provision.SECRETS:
            return any(
                each.secrets or each.environment_files for each in whole.container_definitions
            )
