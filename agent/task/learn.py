"""Turning news and looks into facts: the only place where a task's progress grows.

Two sources, in this order: what the last actions gave, and what is seen now. Anything that a look
shows is learned from the look, so that news lost in a crash costs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL, Signals

from agent.task import connecting, health, images, runs
from agent.task.actions import (
    AcquireInterface,
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Gift,
    Never,
    News,
    ObtainCredentials,
    ObtainImage,
    Probe,
    Probed,
    Provide,
    ReleaseInterface,
    RestartContainer,
    ServeMetadata,
    Signal,
    StartContainer,
)
from agent.task.images import Obtained
from agent.task.model import Intent, Progress, Stop, StopCode, Task
from agent.task.network import Attachment, NetworkInterface, PortBinding
from agent.task.provisions import needed_by
from agent.task.records import REASON_LIMIT, Held, Pin, Step
from agent.task.runs import give_up, give_up_all
from agent.task.stopping import Rules
from agent.task.view import View

_FIRST_HOLD_S = 0.5
LONGEST_HOLD_S = 30.0
"""Between two tries of an action that fails."""


def learn(
    intent: Intent,
    progress: Progress,
    view: View,
    news: tuple[News, ...],
    now: float,
    rules: Rules,
) -> Progress:
    """The progress with everything in ``news`` and ``view`` taken in."""
    for each in news:
        progress = _hear(intent, progress, each, rules)
    for name, look in view.containers.items():
        progress = runs.saw(intent.task, progress, name, look, now)
    progress = why_stop(intent, progress, now)
    for name, look in view.containers.items():
        progress = runs.saw_end(progress, name, look, now)
    return why_stop(intent, progress, now)


def _hear(intent: Intent, progress: Progress, news: News, rules: Rules) -> Progress:
    match news.result:
        case Done(gave):
            held = {key: hold for key, hold in progress.held.items() if key != news.action.key}
            return _took_effect(intent.task, replace(progress, held=held), news, gave)
        case Again(why):
            return _hold(progress, news, why)
        case Never(error, why):
            return _failed(intent, progress, news, f"{error}: {why}", rules)


def _hold(progress: Progress, news: News, why: str) -> Progress:
    before = progress.held.get(news.action.key)
    tries = before.tries + 1 if before else 1
    delay = min(_FIRST_HOLD_S * 2 ** (tries - 1), LONGEST_HOLD_S)
    paused = before is None or news.began_at > before.until + LONGEST_HOLD_S
    since = news.at if before is None or paused else before.since  # agent or host was away
    held = Held(until=news.at + delay, tries=tries, why=why, since=since)
    progress = replace(progress, held={**progress.held, news.action.key: held})
    if before and before.why == why:
        return progress  # told once: it may go on for as long as the task runs
    return progress.noting(_step(news, "retrying", detail=why))


def _failed(intent: Intent, progress: Progress, news: News, reason: str, rules: Rules) -> Progress:
    """A step towards RUNNING that can't succeed ends whoever needs it; any other is tried again."""
    match news.action:
        case ObtainImage(name):
            return _unobtained(intent, progress, name, reason, news.at, rules)
        case CreateContainer(name) | StartContainer(name):
            return give_up(progress, name, reason, news.at)
        case AttachNetwork(sandbox):
            return give_up_all(progress, intent.task.members(sandbox), reason, news.at)
        case RestartContainer(name):
            return runs.not_again(progress, name, reason, news.at)
        case AcquireInterface():
            return give_up_all(progress, progress.containers, reason, news.at)
        case Provide(kind):
            progress = give_up_all(progress, progress.containers, reason, news.at)
            users = [each for each in progress.containers if kind in needed_by(intent.task, each)]
            progress = runs.none_again(progress, users, reason, news.at)
            return _hold(progress, news, reason) if progress.runs else progress
        case ObtainCredentials():
            progress = give_up_all(progress, progress.containers, reason, news.at)
            return _hold(progress, news, reason) if progress.runs else progress
        case _:
            return _hold(progress, news, reason)


def _unobtained(
    intent: Intent, progress: Progress, name: str, reason: str, at: float, rules: Rules
) -> Progress:
    """An image that can't be had ends its container; under strict rules whichever that is, all."""
    if progress.containers[name].pin is not None and progress.pull_started_at is not None:
        progress = replace(progress, pull_stopped_at=at)
    progress = give_up(progress, name, reason, at)
    if not rules.pull_strict or progress.stop is not None or intent.stop is not None:
        return progress
    return _stopping(progress, Stop(StopCode.FAILED_TO_START, reason[:REASON_LIMIT], at), at)


def _took_effect(task: Task, progress: Progress, news: News, gave: Gift) -> Progress:
    match news.action, gave:
        case ObtainImage(name), Pin():
            return images.pinned(task, progress, name, gave, news.at)
        case ObtainImage(name), Obtained():
            return images.obtained(task, progress, name, gave, news.began_at, news.at)
        case Probe(name), Probed():
            return _probed(task, progress, name, gave, news)
        case Signal(name, number), _:
            step = _step(news, "signalled", _signal_name(number))
            sent = "kill_sent_at" if number == SIGKILL else "stop_sent_at"
            return progress.having(name, **{sent: news.at}).noting(step)
        case CreateContainer(name), _:
            return progress.having(name, created_at=news.at).noting(_step(news, "created"))
        case StartContainer(name), _:
            return runs.started(progress, name, news.at).noting(_step(news, "started"))
        case RestartContainer(name), _:
            return runs.up_again(progress, name, news.at)
        case DeleteContainer(), _:
            return progress.noting(_step(news, "removed"))
        case _:
            return _took_effect_on_task(progress, news, gave)


def _took_effect_on_task(progress: Progress, news: News, gave: Gift) -> Progress:
    match news.action, gave:
        case AcquireInterface(), NetworkInterface():
            progress = replace(progress, interface=gave, interface_at=news.at)
            return progress.noting(_step(news, "interface", connecting.shown(gave)))
        case ReleaseInterface(), _:
            return progress.noting(_step(news, "released"))
        case ObtainCredentials(), _:
            return progress.noting(_step(news, "credentials"))
        case Provide(kind), _:
            return progress.noting(_step(news, kind.value))
        case AttachNetwork(sandbox), Attachment():
            step = _step(news, "network", _shown(gave))
            return progress.having_network(sandbox, attachment=gave, detached=False).noting(step)
        case DetachNetwork(sandbox), _:
            return progress.having_network(sandbox, detached=True).noting(_step(news, "detached"))
        case _:
            return progress


def _probed(task: Task, progress: Progress, name: str, probed: Probed, news: News) -> Progress:
    """What a probe said of an earlier run says nothing of this one."""
    check = task.container(name).health_check
    container = progress.containers[name]
    if check is None or container.up_at is None or container.ended:
        return progress
    if container.restart is not None and news.began_at < container.up_at:
        return progress
    record = health.after_probe(check, container.health, probed, container.up_at, news.at)
    turned = record.status is not container.health.status
    progress = progress.having(name, health=record)
    step = Step(at=news.at, what=record.status.value.lower(), container=name)
    return progress.noting(step) if turned else progress


def why_stop(intent: Intent, progress: Progress, now: float) -> Progress:
    """Notes the first cause for the task to go down, and when its essential part ended."""
    ended = [
        progress.containers[each.name]
        for each in intent.task.definition.container_definitions
        if each.essential and progress.containers[each.name].ended
    ]
    if ended and progress.execution_stopped_at is None:
        first = min(each.finished_at for each in ended if each.finished_at is not None)
        progress = replace(progress, execution_stopped_at=first)
    if progress.stop is not None:
        return progress
    if intent.stop is not None:
        stop = Stop(intent.stop.code, intent.stop.reason, intent.stop.at)
    elif any(each.started_at is not None for each in ended):
        stop = Stop(StopCode.ESSENTIAL_EXITED, "Essential container in task exited", now)
    elif ended:
        stop = Stop(StopCode.FAILED_TO_START, ended[0].reason, now)
    else:
        return progress
    return _stopping(progress, stop, now)


def _stopping(progress: Progress, stop: Stop, now: float) -> Progress:
    return replace(progress, stop=stop).noting(Step(now, "stopping", detail=stop.reason))


def _step(news: News, what: str, detail: str = "") -> Step:
    return Step(
        at=news.at,
        what=what,
        container=_container(news.action),
        took_s=news.at - news.began_at,
        detail=detail,
    )


def _signal_name(number: int) -> str:
    """``SIGTERM``; the real-time signals between the first and the last have no names."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _container(action: Action) -> str:
    """The container that the action is about; none where it is about the whole task."""
    match action:
        case AttachNetwork(sandbox) | ServeMetadata(sandbox) | DetachNetwork(sandbox):
            return sandbox
        case _:
            return getattr(action, "container", "")


def _shown(attachment: Attachment) -> str:
    ports = " ".join(map(_shown_port, attachment.ports))
    return f"{attachment.ipv4 or attachment.ipv6 or attachment.mode} {ports}".strip()


def _shown_port(port: PortBinding) -> str:
    last = "" if port.count == 1 else f" ({port.count} ports)"
    return f"{port.host_port}->{port.container_port}/{port.protocol}{last}"
