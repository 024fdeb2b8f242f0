"""What is known of a task that the state store has lost, put together from what is left of it.

Each container carries a keepsake: its task, and the facts as of when the container was made. What
happened since is seen again by looking, is told by what the container's end left, or is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from agent.task import names
from agent.task.model import ContainerProgress, Progress, Task, first_progress
from agent.task.records import Step
from agent.task.runs import give_up_all
from agent.task.view import Running

LOST = "StateLostError: the agent's state was lost, and nothing is left to tell how this ended"

FORGOTTEN = "health so far, restarts, protection and requests to stop since then are lost"
"""What no container remembers."""


@dataclass(frozen=True, slots=True)
class Keepsake:
    """What a container's record keeps of its task. It has no secrets: they are in the container.

    ``task_role`` and ``execution_role``: whether the task is entitled to credentials of them.
    """

    task: Task
    container: str
    progress: Progress
    task_role: bool
    execution_role: bool


@dataclass(frozen=True, slots=True)
class Remnant:
    """A container that the runtime has a record of. ``process`` is None if that is all."""

    created_at: float
    process: Running | None


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a task on the host.

    ``ended`` are facts about containers that were deleted; ``once_ran``: it had containers once.
    """

    containers: Mapping[str, Remnant]
    ended: Mapping[str, ContainerProgress]
    once_ran: bool


def keepsake(task: Task, name: str, progress: Progress) -> Keepsake:
    """What container ``name`` is to carry."""
    bare = replace(task, credentials_id="", execution_credentials_id="", credentials_token="")
    facts = replace(progress, timeline=(), held={})
    credentials = bool(task.credentials_id), bool(task.execution_credentials_id)
    return Keepsake(bare, name, facts, *credentials)


def rebuilt(task: Task, known: Progress | None, left: Remains, now: float) -> Progress:
    """The facts about ``task``: those that were ``known`` last, and what its remains tell.

    Nothing that may have run once will run again. What can't be seen to have begun has its share of
    the host still to get.
    """
    progress = known or replace(first_progress(task), admitted_at=None)
    if progress.admitted_at is None and (left.once_ran or left.containers):
        progress = replace(progress, admitted_at=now)  # what it holds it must have been given
    again = {name for name, each in left.containers.items() if each.process is not None}
    for name, facts in left.ended.items():
        if name in progress.containers.keys() - again and not progress.containers[name].ended:
            progress = progress.having_all(name, facts)
    for name, remnant in left.containers.items():
        progress = _there(progress, name, remnant)
    alive = any(
        each.process is not None for name, each in left.containers.items() if name != names.PAUSE
    )
    if not alive and (left.once_ran or left.containers):
        progress = give_up_all(progress, progress.containers, LOST, now)
    return progress


def told(progress: Progress, task: Task, why: str, now: float) -> Progress:
    """The same with the steps of its timeline that say what it was made of."""
    if not progress.timeline:
        progress = progress.noting(Step(at=task.accepted_at, what="accepted"))
    return progress.noting(Step(at=now, what="rebuilt", detail=f"{why}; {FORGOTTEN}"))


def fits(task: Task, progress: Progress) -> bool:
    """Whether these are facts about this task's containers and sandboxes."""
    theirs = {each.name for each in task.definition.container_definitions}
    return progress.containers.keys() == theirs and set(progress.networks) == set(task.sandboxes)


def newest(kept: Collection[tuple[float, Keepsake]]) -> Keepsake:
    """Of keepsakes of one task, each with when it was made, the one that knows most."""
    return max(kept, key=lambda each: each[0])[1]


def _there(progress: Progress, name: str, remnant: Remnant) -> Progress:
    facts = progress.containers.get(name)
    if facts is None or facts.ended:
        return progress
    created_at = remnant.created_at if facts.created_at is None else facts.created_at
    started_at = facts.started_at
    if started_at is None and remnant.process is not Running.CREATED:
        started_at = created_at
    return progress.having(name, created_at=created_at, started_at=started_at)
