"""When a task gets the credentials of its roles: before its first container starts, and again.

They are kept in the agent's memory alone, so after a restart of the agent they are lacking.
"""

from __future__ import annotations

from agent.task.actions import ObtainCredentials
from agent.task.model import Progress, Task
from agent.task.patience import Hopeless, tried
from agent.task.stopping import Rules
from agent.task.view import Absent, Seen, View


def lacking(
    task: Task, progress: Progress, view: View, now: float, rules: Rules
) -> ObtainCredentials | Hopeless | None:
    """What is to be done for credentials that the task should have and has not."""
    if not task.entitled or not isinstance(view.credentials, Absent):
        return None
    return tried(ObtainCredentials(), progress, rules.credentials_timeout_s, now)


def ready(task: Task, view: View) -> bool:
    """Whether a container of the task may start."""
    return not task.entitled or isinstance(view.credentials, Seen)
