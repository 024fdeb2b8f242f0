"""How long what fails in ways that may pass is tried before the task is given up for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from agent.task.actions import AcquireInterface, ObtainCredentials, Provide
from agent.task.model import Progress

A = TypeVar("A", AcquireInterface, ObtainCredentials, Provide)


@dataclass(frozen=True, slots=True)
class Hopeless:
    """It can't be had: ``reason`` is why what needs it can't start."""

    reason: str


def tried(action: A, progress: Progress, limit_s: float, now: float) -> A | Hopeless:
    """The action, or why it is not tried any more.

    A task that runs is not given up: what it lacks may come back.
    """
    failure = progress.held.get(action.key)
    if failure is None or progress.runs:
        return action
    # Time in which nobody tried, as the agent was down or the host asleep, counts for nothing.
    if min(now, failure.until) < failure.since + limit_s:
        return action
    return Hopeless(f"ResourceInitializationError: {failure.why} (tried for {limit_s:.0f} s)")
