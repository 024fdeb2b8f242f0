"""When a task gets the credentials of its roles: before its first container starts, and again.

They are kept in the agent's memory alone, so after a restart of the agent they are lacking.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.actions import ObtainCredentials
from agent.task.model import Progress, Task
from agent.task.stopping import Rules
from agent.task.view import Absent, Seen, View


@dataclass(frozen=True, slots=True)
class Hopeless:
    """They can't be had: ``reason`` is why nothing of the task can start."""

    reason: str


def lacking(
    task: Task, progress: Progress, view: View, now: float, rules: Rules
) -> ObtainCredentials | Hopeless | None:
    """What is to be done for credentials that the task should have and has not.

    A task that runs is not given up for want of them: they may come back.
    """
    if not task.entitled or not isinstance(view.credentials, Absent):
        return None
    action = ObtainCredentials()
    failure = progress.held.get(action.key)
    if failure is None or progress.runs:
        return action
    # Time in which nobody tried, as the agent was down or the host asleep, counts for nothing.
    if min(now, failure.until) < failure.since + rules.credentials_timeout_s:
        return action
    limit = f"{rules.credentials_timeout_s:.0f} s"
    return Hopeless(f"ResourceInitializationError: {failure.why} (tried for {limit})")


def ready(task: Task, view: View) -> bool:
    """Whether a container of the task may start."""
    return not task.entitled or isinstance(view.credentials, Seen)
