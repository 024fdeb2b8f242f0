"""What a task as a whole must have before a container of it can be made: its provisions.

Volumes that somebody must make or mount, namespaces that its containers share, and variables that
must not be on a disk. Each kind is provided by one action and taken back by another, as a network
is; who does it is in ``agent.host``. A look shows whether it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.task.actions import Provide, TakeBack
from agent.task.definition import ContainerDefinition
from agent.task.model import ContainerProgress, Progress, Task
from agent.task.patience import Hopeless, tried
from agent.task.records import Provision
from agent.task.stopping import Rules
from agent.task.view import Absent, Seen, View


def needed(task: Task) -> tuple[Provision, ...]:
    """The kinds that the task has, in the order in which they are provided."""
    return tuple(kind for kind in Provision if _has(task, kind))


def due(
    task: Task, progress: Progress, view: View, now: float, rules: Rules
) -> Iterator[Provide | TakeBack | Hopeless]:
    """What is to be provided now, being of use and not there; or taken back, of no more use.

    Only secrets are taken back before the containers are gone: the less time they are held the
    better. A task that runs is not given up for what fails in ways that may pass.
    """
    for kind in needed(task):
        look = view.provisions.get(kind, Absent())
        used = _used(task, progress, kind)
        if isinstance(look, Absent) and used:
            yield tried(Provide(kind), progress, rules.provision_timeout_s, now)
        elif isinstance(look, Seen) and not used and kind is Provision.SECRETS:
            yield TakeBack(kind)


def needed_by(task: Task, name: str) -> frozenset[Provision]:
    """The kinds that container ``name`` can't be made or run again without."""
    return frozenset(
        each
        for each in needed(task)
        if each is not Provision.SECRETS or _private(task.container(name))
    )


def ready(task: Task, name: str, view: View) -> bool:
    """Whether container ``name`` may be made, or run again."""
    return all(isinstance(view.provisions.get(each), Seen) for each in needed_by(task, name))


def ready_to_probe(container: ContainerDefinition, view: View) -> bool:
    """Whether a process can be run in the container with the variables that it should have."""
    return not _private(container) or isinstance(view.provisions.get(Provision.SECRETS), Seen)


def _used(task: Task, progress: Progress, kind: Provision) -> bool:
    """Whether a container that has not ended may need it still."""
    containers = task.definition.container_definitions
    if kind is Provision.SECRETS:
        containers = tuple(filter(_private, containers))
        return any(_may_need(each, progress.containers[each.name]) for each in containers)
    return any(_to_be_started(each) for each in progress.containers.values())


def _may_need(container: ContainerDefinition, facts: ContainerProgress) -> bool:
    """Whether its variables are yet to be given to it, or to processes run in it."""
    policy = container.restart_policy
    again = policy is not None and policy.enabled
    return _to_be_started(facts) or (
        not facts.ended and (again or container.health_check is not None)
    )


def _to_be_started(facts: ContainerProgress) -> bool:
    """Or run again."""
    return (facts.started_at is None and not facts.ended) or facts.restarting


def _private(container: ContainerDefinition) -> bool:
    return bool(container.secrets or container.environment_files)


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
            return any(map(_private, whole.container_definitions))
