"""The fields by which the journal finds all that is told of a task (``agent.service.journal``)."""

from __future__ import annotations

from agent.task.model import Task


def about(task: Task, container: str | None = None, **more: str) -> dict[str, str | None]:
    """To be given as ``extra`` with a log line about the task, or one container of it."""
    return {
        "TASK_ARN": task.arn,
        "TASK_ID": task.id,
        "TASK_FAMILY": task.definition.family,
        "TASK_REVISION": str(task.revision),
        "CONTAINER_NAME": container,
        **more,
    }
