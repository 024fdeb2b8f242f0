"""Winding a task down: whom to signal with what, when to kill.

STOPSIGNAL of the image (SIGTERM by default), then SIGKILL when ``stopTimeout`` has passed since the
signal was *delivered*; dependents first. A container that never ran needs no signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from signal import SIGKILL, SIGTERM

from agent.task import order
from agent.task.actions import Action, Signal
from agent.task.definition import ContainerDefinition
from agent.task.model import Intent, Progress
from agent.task.view import ContainerSeen, Look, Running, Seen, Unknown

KILL_AGAIN_S = 10.0
"""SIGKILL can't be ignored, but a lost one can be repeated."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that the plan obeys. ``stop_timeout_s`` is ECS_CONTAINER_STOP_TIMEOUT.

    ``interface_timeout_s`` is how long a network interface may take to appear once it is acquired;
    ECS sends the time with each (``waitTimeoutMs``). ``credentials_timeout_s`` is how long
    obtaining credentials may fail, in ways that might pass, before the task is given up;
    ``provision_timeout_s`` is the same for what it needs as a whole.
    ``pull_upfront`` is ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT: images are obtained before what their
    containers depend on. ``pull_strict``: an image that can't be had ends the whole task, as ECS
    does with the pull behaviours ``always`` and ``once``.
    """

    stop_timeout_s: float = 30.0
    interface_timeout_s: float = 300.0
    credentials_timeout_s: float = 60.0
    pull_upfront: bool = False
    pull_strict: bool = False
    provision_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Push:
    """What to do to one container now (perhaps nothing), and when to look at it again."""

    action: Action | None = None
    wake_at: float | None = None
    ended: bool = False


def push(
    intent: Intent,
    progress: Progress,
    name: str,
    look: Look[ContainerSeen],
    now: float,
    rules: Rules,
) -> Push:
    """The next step of bringing container ``name`` down. ``ended``: nothing of it will run."""
    facts = progress.containers[name]
    if isinstance(look, Unknown):
        return Push()
    if not isinstance(look, Seen) or look.state.running is not Running.RUNNING:
        return Push(ended=facts.started_at is None)
    if facts.kill_sent_at is not None:
        return _kill_at(facts.kill_sent_at + KILL_AGAIN_S, name, now)
    if intent.stop is not None and intent.stop.force:
        return _kill_at(now, name, now)
    if not order.may_stop(intent.task, progress, name):
        return Push()
    if facts.stop_sent_at is None:
        image_signal = facts.image.stop_signal if facts.image else None
        return Push(Signal(name, image_signal or SIGTERM))
    return _kill_at(kill_at(intent.task.container(name), facts.stop_sent_at, rules), name, now)


def reason(intent: Intent, progress: Progress, name: str) -> str:
    """Why container ``name`` ends that never ran: ECS tells it if it was to be pulled when asked to
    stop. One that the end of another container came before has none.
    """
    facts = progress.containers[name]
    if intent.stop is None or facts.image is not None or facts.pin is not None:
        return ""
    before = f"Task stopped before image pull could begin for task: {intent.task.arn}"
    return f"TaskStoppedBeforePullBeginError: {before}"


def kill_at(definition: ContainerDefinition, stop_sent_at: float, rules: Rules) -> float:
    """When SIGKILL is due for a container whose stop signal was delivered at ``stop_sent_at``.

    ``stopTimeout`` 0 means unset, as in ECS.
    """
    return stop_sent_at + (definition.stop_timeout or rules.stop_timeout_s)


def _kill_at(due: float, name: str, now: float) -> Push:
    return Push(Signal(name, SIGKILL)) if now >= due else Push(wake_at=due)
