"""What is left of what has ended, and in which order it goes.

Containers are deleted as soon as they have ended, a sandbox is detached when all its containers are
gone. What the task has as a whole follows when it has neither: its credentials, its provisions,
the last one first, its network interface, and then its cgroup and directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.task.actions import (
    Action,
    DeleteContainer,
    DetachNetwork,
    ReleaseInterface,
    ReleaseTask,
    TakeBack,
    WithdrawCredentials,
)
from agent.task.model import Progress, Task
from agent.task.records import Provision
from agent.task.view import Absent, Look, Seen, View


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing of the task is left on the host."""


def due(task: Task, progress: Progress, view: View) -> Iterator[Action | Gone]:
    """What is to be taken away now; of what the task has as a whole, one after the other."""
    for name, facts in progress.containers.items():
        if facts.ended and isinstance(view.containers[name], Seen):
            yield DeleteContainer(name)
    gone = _gone(progress, view)
    for sandbox, known in progress.networks.items():
        there = isinstance(view.networks[sandbox], Seen)
        left = there or (known.attached and isinstance(view.networks[sandbox], Absent))
        if left and gone.issuperset(task.members(sandbox)):
            yield DetachNetwork(sandbox)
    if gone.issuperset(progress.containers) and not _any_sandbox(progress, view):
        yield from _next(view)


def _gone(progress: Progress, view: View) -> set[str]:
    """The containers of which nothing is left, nor will be again."""
    return {
        name
        for name, facts in progress.containers.items()
        if facts.ended and isinstance(view.containers[name], Absent)
    }


def _any_sandbox(progress: Progress, view: View) -> bool:
    """Whether a sandbox may be left."""
    return any(
        known.attached or not isinstance(view.networks[sandbox], Absent)
        for sandbox, known in progress.networks.items()
    )


def _next(view: View) -> Iterator[Action | Gone]:
    """What goes next when the task has neither containers nor sandboxes."""
    for look, action in _whole(view):
        if isinstance(look, Seen):
            yield action
        if not isinstance(look, Absent):
            return
    yield Gone()


def _whole(view: View) -> Iterator[tuple[Look[Any], Action]]:
    """How what the task has as a whole looks, and what takes it away; in the order of going."""
    yield view.credentials, WithdrawCredentials()
    for kind in reversed(Provision):
        yield view.provisions.get(kind, Absent()), TakeBack(kind)
    yield view.interface, ReleaseInterface()
    yield view.task, ReleaseTask()
