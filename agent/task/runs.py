"""What is learned of a container's runs: that one began, that it ended, that there is none.

A container runs once, unless its restart policy answers an exit with another run (``restart``).
Its last exit is a fact of its own; those before are only answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.task import restart
from agent.task.model import ContainerProgress, Progress, Task
from agent.task.records import REASON_LIMIT, HealthRecord, Restart, Step
from agent.task.view import Absent, ContainerSeen, Look, Running, Seen

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
"""What ECS says of a container of which the kernel killed a process for want of memory."""

NAMESPACE_LOST = "PidNamespaceError: the pause process of the task's PID namespace has ended"
"""Of a container that the kernel killed with the namespace that it shared."""

VANISHED = "ContainerVanishedError: the runtime no longer knows the container"

FEW = 8
"""Restarts of a container that are told one by one; of more the doublings, as room is short."""


def give_up(progress: Progress, name: str, reason: str, now: float, **facts: object) -> Progress:
    """Container ``name`` ends without (further) running. The first reason for that stays."""
    container = progress.containers[name]
    if container.ended:
        return progress
    kept = reason[:REASON_LIMIT]
    progress = progress.having(name, ended=True, finished_at=now, reason=kept, **facts)
    return progress.noting(Step(at=now, what="gave up", container=name, detail=kept))


def give_up_all(progress: Progress, containers: Iterable[str], reason: str, now: float) -> Progress:
    """Of these containers those that never ran end without running."""
    for name in containers:
        if progress.containers[name].started_at is None:
            progress = give_up(progress, name, reason, now)
    return progress


def not_again(progress: Progress, name: str, reason: str, now: float) -> Progress:
    """Container ``name``, which was to be run again, has ended with its last exit instead."""
    last = progress.containers[name].restart
    if last is None or not progress.containers[name].restarting:
        return progress
    ended_at = now if last.exited_at is None else last.exited_at
    kept = reason[:REASON_LIMIT] or last.reason or progress.containers[name].reason
    progress = progress.having(
        name, ended=True, exit_code=last.exit_code, finished_at=ended_at, reason=kept
    )
    progress = progress.noting(Step(ended_at, "exited", name, detail=str(last.exit_code)))
    return progress.noting(Step(now, "gave up", name, detail=kept)) if reason else progress


def none_again(progress: Progress, containers: Iterable[str], reason: str, now: float) -> Progress:
    """Of these containers none that was to be run again will be."""
    for name in containers:
        progress = not_again(progress, name, reason, now)
    return progress


def started(progress: Progress, name: str, at: float) -> Progress:
    """The container has begun to run, unless that is known."""
    if progress.containers[name].started_at is not None:
        return progress
    created_at = progress.containers[name].created_at
    created_at = at if created_at is None else created_at
    return progress.having(name, created_at=created_at, started_at=at)


def up_again(progress: Progress, name: str, at: float) -> Progress:
    """The container runs again, or has run, if that was awaited."""
    facts = progress.containers[name]
    if facts.restart is None or not facts.restarting:
        return progress
    progress = progress.having(name, restart=replace(facts.restart, up_at=at))
    return progress.noting(Step(at, "restarted", name)) if _told(facts.restart) else progress


def saw(
    task: Task, progress: Progress, name: str, look: Look[ContainerSeen], now: float
) -> Progress:
    """What a look says of a container, but for an exit that its restart policy might answer."""
    if progress.containers[name].ended:
        return progress
    match look:
        case Absent() | Seen(ContainerSeen(Running.UNSTARTED)):
            return _missed(progress, name, look, now)
        case Seen(ContainerSeen(Running.RUNNING)):
            return up_again(started(progress, name, now), name, now)
        case Seen(ContainerSeen(Running.STOPPED) as seen) if seen.exit_code is not None:
            return _stopped(task, progress, name, seen, now)
        case _:
            return progress


def saw_end(progress: Progress, name: str, look: Look[ContainerSeen], now: float) -> Progress:
    """What is left of a look when it is known whether the task stops: it runs again, or not."""
    facts = progress.containers[name]
    if facts.ended or not isinstance(look, Seen) or look.state.running is Running.RUNNING:
        return progress
    if _is_new_exit(facts, look.state):
        if progress.stop is None:
            return _again(progress, name, look.state, now)
        return _exited(progress, name, look.state, now)
    return progress if progress.stop is None else not_again(progress, name, "", now)


def _stopped(
    task: Task, progress: Progress, name: str, seen: ContainerSeen, now: float
) -> Progress:
    if restart.answered(progress.containers[name], seen):
        return progress
    at = now if seen.exited_at is None else seen.exited_at
    progress = up_again(started(progress, name, at), name, at)
    if restart.answers(task.container(name), progress.containers[name], seen):
        return progress
    return _exited(progress, name, seen, now)


def _is_new_exit(facts: ContainerProgress, seen: ContainerSeen) -> bool:
    known = seen.running is Running.STOPPED and seen.exit_code is not None
    return known and not restart.answered(facts, seen)


def _again(progress: Progress, name: str, seen: ContainerSeen, now: float) -> Progress:
    """Count and time are there before the attempt. The new run's health is to be found, as with
    Docker."""
    before = progress.containers[name].restart
    number = 1 if before is None else before.count + 1
    code = 0 if seen.exit_code is None else seen.exit_code
    reason = _why_exited(seen)
    last = Restart(number, now, code, seen.exited_at, reason)
    progress = progress.having(name, restart=last, health=HealthRecord())
    step = Step(now, "restarting", name, detail=reason or f"exit code {code}")
    return progress.noting(step) if _told(last) else progress


def _exited(progress: Progress, name: str, seen: ContainerSeen, now: float) -> Progress:
    at = now if seen.exited_at is None else seen.exited_at
    reason = _why_exited(seen) or progress.containers[name].reason
    progress = progress.having(
        name, ended=True, exit_code=seen.exit_code, finished_at=at, reason=reason
    )
    return progress.noting(Step(at=at, what="exited", container=name, detail=str(seen.exit_code)))


def _why_exited(seen: ContainerSeen) -> str:
    """What of it is not the container's own doing."""
    if seen.out_of_memory:
        return OUT_OF_MEMORY
    return NAMESPACE_LOST if seen.namespace_lost else ""


def _missed(
    progress: Progress, name: str, look: Absent | Seen[ContainerSeen], now: float
) -> Progress:
    """A container that ran and is gone without our doing: its exit code can't be known any more.

    Between two runs it may have no process; that of the last one is known.
    """
    facts = progress.containers[name]
    if facts.restarting:
        return not_again(progress, name, VANISHED, now) if isinstance(look, Absent) else progress
    return progress if facts.started_at is None else give_up(progress, name, VANISHED, now)


def _told(last: Restart) -> bool:
    """Whether the timeline says so: the first few, and then each time the number has doubled."""
    return last.count <= FEW or last.count & (last.count - 1) == 0
