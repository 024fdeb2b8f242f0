"""The limits of a whole task's cgroup, from its definition and the agent's settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.definition import TaskDefinition

MIN_SHARES, MAX_SHARES = 2, 262144
"""CPU weights of cgroup v1, which ECS's units are."""

_UNITS_PER_CPU = 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LimitRules:
    """What the settings say of limits. ``period_us``: of the CPU quota. ``pids``: processes.

    ``enabled``: tasks have limits. ``shown``: containers without limits of their own are given
    those of the task, which hold anyway, so that their programs see them.
    """

    enabled: bool = True
    period_us: int = 100_000
    pids: int | None = None
    shown: bool = True


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """Limits of a cgroup; None leaves the kernel's own. ``memory`` in bytes, times in µs.

    ``quota_us`` is what its processes may run in each ``period_us``, on all processors together.
    """

    period_us: int = 100_000
    quota_us: int | None = None
    shares: int | None = None
    memory: int | None = None
    pids: int | None = None


def shares(cpu_units: int) -> int:
    """The CPU weight of a container, or of several, that ask for so many units."""
    return min(max(cpu_units, MIN_SHARES), MAX_SHARES)


def of_task(definition: TaskDefinition, rules: LimitRules) -> TaskLimits:
    """A task with ``cpu`` may use no more; one without weighs as much as its containers."""
    if not rules.enabled:
        return TaskLimits()
    cpu = definition.cpu
    together = sum(shares(each.cpu) for each in definition.container_definitions)
    return TaskLimits(
        period_us=rules.period_us,
        quota_us=cpu * rules.period_us // _UNITS_PER_CPU if cpu else None,
        shares=None if cpu else shares(together),
        memory=definition.memory * _MIB if definition.memory else None,
        pids=rules.pids,
    )


def of_container(definition: TaskDefinition, rules: LimitRules) -> TaskLimits:
    """What a container gets that has no such limits itself: its task's CPU quota and memory."""
    if not rules.shown:
        return TaskLimits()
    whole = of_task(definition, rules)
    return TaskLimits(period_us=whole.period_us, quota_us=whole.quota_us, memory=whole.memory)
