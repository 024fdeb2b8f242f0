"""What people are told about a task: statuses and health, derived from intent and progress.

Two vocabularies: the agent's own words, which task metadata shows (NONE, PULLED, CREATED, RUNNING,
STOPPED), and those of the ECS API (PENDING, RUNNING, STOPPING, STOPPED).
"""

from __future__ import annotations

from agent.task.model import ContainerProgress, Intent, Progress, Task
from agent.task.records import Health

_ORDER = ("NONE", "PULLED", "CREATED", "RUNNING", "STOPPED")


def container_known(facts: ContainerProgress) -> str:
    """Known status of a container in the agent's words."""
    if facts.ended:
        return "STOPPED"
    if facts.started_at is not None:
        return "RUNNING"
    if facts.created_at is not None:
        return "CREATED"
    return "NONE" if facts.image is None else "PULLED"


def task_known(progress: Progress) -> str:
    """Known status of a task in the agent's words: that of its least advanced container.

    A task that began to stop before all of it ran is not called RUNNING because what is left runs.
    """
    least = min((container_known(each) for each in progress.containers.values()), key=_ORDER.index)
    if least == "RUNNING" and progress.started_at is None:
        return "CREATED"
    return "MANIFEST_PULLED" if least == "PULLED" else least


def desired(intent: Intent, progress: Progress) -> str:
    """RUNNING or STOPPED."""
    return "STOPPED" if intent.stop is not None or progress.stop is not None else "RUNNING"


def container_last(facts: ContainerProgress) -> str:
    """``lastStatus`` of a container in the ECS API."""
    known = container_known(facts)
    return known if known in ("RUNNING", "STOPPED") else "PENDING"


def task_last(intent: Intent, progress: Progress) -> str:
    """``lastStatus`` of a task in the ECS API. STOPPED comes with the last exit, before tidying."""
    if progress.stopped:
        return "STOPPED"
    if desired(intent, progress) == "STOPPED":
        return "STOPPING"
    return "PENDING" if progress.started_at is None else "RUNNING"


def interface(progress: Progress) -> str:
    """``status`` of the attachment of an awsvpc task's network interface in the ECS API."""
    if progress.closed:
        return "DELETED"
    if progress.interface is None:
        return "PRECREATED"
    if progress.stopped:
        return "DETACHING"
    attached = any(each.attached for each in progress.networks.values())
    return "ATTACHED" if attached else "ATTACHING"


def task_health(task: Task, progress: Progress) -> Health:
    """Health of a task: of its essential containers that have a check, the worst known."""
    seen = {
        progress.containers[each.name].health.status
        for each in task.definition.container_definitions
        if each.essential and each.health_check is not None
    }
    if Health.UNHEALTHY in seen:
        return Health.UNHEALTHY
    return Health.HEALTHY if seen == {Health.HEALTHY} else Health.UNKNOWN
