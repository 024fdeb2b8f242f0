"""Who may start and who may be stopped: dependencies (``needs``), read in both directions.

A dependency answers in three ways: ready, not yet, or never. All rules are ECS's, as its agent
applies them (amazon-ecs-agent, dependency graph): see the table in ``_satisfied``.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.definition import ContainerDefinition, Need, needs
from agent.task.model import ContainerProgress, Progress, Task
from agent.task.records import Health


@dataclass(frozen=True, slots=True)
class Ready:
    """Every condition holds now."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Some condition does not hold yet; ``until`` is when waiting for it becomes pointless."""

    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Hopeless:
    """Some condition can't hold any more."""

    why: str


Verdict = Ready | NotYet | Hopeless


def may_start(task: Task, progress: Progress, name: str, now: float) -> Verdict:
    """Whether container ``name`` may take its next step towards RUNNING.

    Every dependency is looked at, so that a hopeless one is found behind one that is not ready yet.
    """
    verdicts = [
        _verdict(task.container(each.target), each, progress, name, now)
        for each in needs(task.container(name))
    ]
    hopeless = [each for each in verdicts if isinstance(each, Hopeless)]
    waiting = [each for each in verdicts if isinstance(each, NotYet)]
    if hopeless:
        return hopeless[0]
    if not waiting:
        return Ready()
    limits = [each.until for each in waiting if each.until is not None]
    return NotYet(waiting[0].why, until=min(limits, default=None))


def may_stop(task: Task, progress: Progress, name: str) -> bool:
    """Whether every container that depends on ``name`` has ended (reverse start order)."""
    return all(
        progress.containers[each.name].ended
        for each in task.definition.container_definitions
        if any(need.target == name for need in needs(each))
    )


def _verdict(
    target: ContainerDefinition, need: Need, progress: Progress, waiting: str, now: float
) -> Verdict:
    facts = progress.containers[target.name]
    created = progress.containers[waiting].created_at is not None
    limit = None if created else _start_limit(target, need, facts)
    if limit is not None and now >= limit:
        return Hopeless(
            f"container {target.name} did not reach {need.condition} within its startTimeout of "
            f"{target.start_timeout}s"
        )
    if _satisfied(need, facts):
        return Ready()
    if facts.ended:
        return Hopeless(f"container {target.name} {_end(facts)}, so it can't be {need.condition}")
    return NotYet(f"waiting for {target.name} to be {need.condition}", until=limit)


def _start_limit(target: ContainerDefinition, need: Need, facts: ContainerProgress) -> float | None:
    """When ``startTimeout`` of the dependency runs out: it counts from the dependency's own start,
    never for START, and no longer once the dependency has ended."""
    if not target.start_timeout or facts.started_at is None or facts.ended:
        return None
    if need.condition in ("CREATE", "START"):
        return None
    return facts.started_at + target.start_timeout


def _satisfied(need: Need, facts: ContainerProgress) -> bool:
    """A container that ended because of its own dependencies has an exit code: it has exited."""
    exited = facts.ended and facts.exit_code is not None
    match need.condition:
        case "CREATE":
            return facts.created_at is not None or exited
        case "START":
            return facts.started_at is not None or exited
        case "COMPLETE":
            return exited
        case "SUCCESS":
            return exited and facts.exit_code == 0
        case "HEALTHY":
            return not facts.ended and facts.health.status is Health.HEALTHY


def _end(facts: ContainerProgress) -> str:
    if facts.exit_code is not None:
        return f"exited with {facts.exit_code}"
    if facts.started_at is not None:
        return "ended with an unknown exit code"
    return f"did not start ({facts.reason or 'it was stopped'})"
