"""The restart policy: after which exit a container runs again, and when that may be.

The rules are ECS's (amazon-ecs-agent, restart tracker). The policy's period is how long a run must
have lasted at least; there is no delay and no limit on the number of restarts.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.definition import ContainerDefinition
from agent.task.model import ContainerProgress, Task
from agent.task.view import Absent, ContainerSeen, Running, Seen, Unknown, View


@dataclass(frozen=True, slots=True)
class Ready:
    """Its place is there and its last run is over."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It can't be told how far it is, or it is on its way."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """It can't run again where it ran; ``reason`` says why."""

    reason: str


def answers(definition: ContainerDefinition, facts: ContainerProgress, seen: ContainerSeen) -> bool:
    """Whether the policy answers the exit that is ``seen`` with another run.

    It counts from the last restart, or else from the start, to the exit itself: how late that was
    noticed makes no difference. What ended with the namespace that it shared can't come back to it.
    """
    policy = definition.restart_policy
    if policy is None or not policy.enabled or facts.started_at is None:
        return False
    if seen.exit_code is None or seen.exit_code in policy.ignored_exit_codes:
        return False
    if seen.exited_at is None or seen.namespace_lost:
        return False
    began_at = facts.started_at if facts.restart is None else facts.restart.at
    return seen.exited_at - began_at >= policy.restart_attempt_period


def answered(facts: ContainerProgress, seen: ContainerSeen) -> bool:
    """Whether the exit that is ``seen`` is the one that was answered last, and no new one."""
    return facts.restart is not None and seen.exited_at == facts.restart.exited_at


def step(task: Task, view: View, name: str) -> Ready | NotYet | Hopeless:
    """Whether the next run of a container that is to be run again may begin."""
    look, network = view.containers[name], view.networks[task.sandbox(name)]
    if isinstance(look, Unknown) or isinstance(network, Unknown):
        return NotYet()
    if isinstance(network, Absent):
        return Hopeless("ResourceInitializationError: the network namespace of the task is gone")
    over = isinstance(look, Seen) and look.state.running is not Running.RUNNING
    return Ready() if over else NotYet()


def count(definition: ContainerDefinition, facts: ContainerProgress) -> int | None:
    """How often the container was run again; None without a policy that would."""
    policy = definition.restart_policy
    if policy is None or not policy.enabled:
        return None
    return 0 if facts.restart is None else facts.restart.count
