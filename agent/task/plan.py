"""``plan``: from what should be and what is, to what happens next.

Pure, and run from scratch at every turn, whether the task was accepted a second or a year ago:
there is no other code for starting, for stopping, or for taking up work after a restart.

    learn      facts from news and looks, and whether there is a cause to stop   (learn.py)
    admit      the task has what it needs of the host, or waits for that         (capacity.py)
    run        every container one step up, if its dependencies allow
                                            (order.py, connecting.py, credentials.py,
                                             provisions.py, health.py, restart.py)
    wind_down  every container one step down, dependents first                   (stopping.py)
    tidy       what is left of ended containers, and of an ended task, goes      (tidying.py)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.task import (
    connecting,
    credentials,
    health,
    order,
    provisions,
    restart,
    stopping,
    tidying,
)
from agent.task.actions import (
    Action,
    CreateContainer,
    Decision,
    News,
    ObtainImage,
    Probe,
    RestartContainer,
    ServeMetadata,
    StartContainer,
)
from agent.task.learn import LONGEST_HOLD_S, learn, why_stop
from agent.task.model import Intent, Progress, Task
from agent.task.patience import Hopeless
from agent.task.records import Held, Step
from agent.task.runs import give_up, give_up_all, not_again
from agent.task.stopping import Rules
from agent.task.view import Absent, ContainerSeen, Running, Seen, View

LOOK_AGAIN_S = 5.0
"""A piece that could not be looked at is looked at again after this time, if nothing rings."""

DEPENDENCY_EXIT_CODE = 143
"""What ECS reports for a container that never ran because a dependency failed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn has come to so far."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    wakes: tuple[float, ...] = ()

    def wanting(self, *actions: Action) -> Turn:
        """The same with those of ``actions`` added that are not wanted yet."""
        new = (each for each in actions if each not in self.actions)
        return replace(self, actions=(*self.actions, *new))

    def waking(self, at: float | None) -> Turn:
        """The same, to be looked at again at ``at`` the latest."""
        return self if at is None else replace(self, wakes=(*self.wakes, at))


def plan(
    intent: Intent,
    progress: Progress,
    view: View,
    news: tuple[News, ...],
    now: float,
    rules: Rules,
) -> Decision:
    """Decides what is true of the task now and what to do about it. Equal inputs, equal answers.

    A fact that comes up in a pass may matter to what was decided before it in the same pass, so
    passes are made until one brings up nothing new. Facts only grow: there are few.
    """
    progress = learn(intent, progress, view, news, now, rules)
    view = connecting.as_left(intent.task, progress, view)
    while True:
        turn = _pass(intent, progress, view, now, rules)
        if turn.progress == progress:
            return _decide(turn, view, now)
        progress = learn(intent, turn.progress, view, (), now, rules)


def _pass(intent: Intent, progress: Progress, view: View, now: float, rules: Rules) -> Turn:
    turn = Turn(progress)
    if progress.stop is None and progress.admitted_at is None:
        turn = _admit(turn, view, now)
    elif progress.stop is None:
        turn = _run(intent, turn, view, now, rules)
        turn = replace(turn, progress=why_stop(intent, turn.progress, now))
    else:
        turn = _wind_down(intent, turn, view, now, rules)
    return _mark(_tidy(intent.task, turn, view, now), now)


def _admit(turn: Turn, view: View, now: float) -> Turn:
    """Nothing of a task begins before it has its share of the host: it holds that from then on."""
    if view.shortage:
        return _await(turn, view.shortage, now)
    progress = replace(turn.progress, admitted_at=now)
    return replace(turn, progress=progress.noting(Step(now, "admitted")))


def _run(intent: Intent, turn: Turn, view: View, now: float, rules: Rules) -> Turn:
    turn = _entitle(intent.task, turn, view, now, rules)
    turn = _provide(intent.task, turn, view, now, rules)
    for definition in intent.task.definition.container_definitions:
        name = definition.name
        if turn.progress.containers[name].ended:
            continue
        if turn.progress.containers[name].started_at is not None:
            turn = _watch(intent, turn, view, name, now)
            continue
        match order.may_start(intent.task, turn.progress, name, now):
            case order.Ready():
                turn = _raise(intent.task, turn, view, name, now, rules)
            case order.NotYet(_, until):
                turn = turn.waking(until)
                if rules.pull_upfront and turn.progress.containers[name].image is None:
                    turn = turn.wanting(ObtainImage(name))
            case order.Hopeless(why):
                reason = f"CannotStartContainerError: dependency graph: {why}"
                code = DEPENDENCY_EXIT_CODE
                turn = replace(
                    turn, progress=give_up(turn.progress, name, reason, now, exit_code=code)
                )
    return turn


def _entitle(task: Task, turn: Turn, view: View, now: float, rules: Rules) -> Turn:
    """The credentials of the task's roles; without them nothing of it may start."""
    match credentials.lacking(task, turn.progress, view, now, rules):
        case Hopeless(reason):
            progress = give_up_all(turn.progress, turn.progress.containers, reason, now)
            return replace(turn, progress=progress)
        case None:
            return turn
        case action:
            return turn.wanting(action)


def _provide(task: Task, turn: Turn, view: View, now: float, rules: Rules) -> Turn:
    """What the task needs as a whole; what has not started without it never will."""
    for each in provisions.due(task, turn.progress, view, now, rules):
        if isinstance(each, Hopeless):
            progress = give_up_all(turn.progress, turn.progress.containers, each.reason, now)
            turn = replace(turn, progress=progress)
        else:
            turn = turn.wanting(each)
    return turn


def _raise(task: Task, turn: Turn, view: View, name: str, now: float, rules: Rules) -> Turn:
    """The next steps of a container towards RUNNING; those that don't need each other, together."""
    lacks_image = turn.progress.containers[name].image is None
    if lacks_image:
        turn = turn.wanting(ObtainImage(name))
    sandbox = task.sandbox(name)
    match connecting.connection(task, turn.progress, view, sandbox, now, rules):
        case connecting.Missing(action):
            return turn.wanting(action)
        case connecting.Awaited(why, until):
            return _await(turn, why, now).waking(until)
        case connecting.Failed(reason):
            progress = give_up_all(turn.progress, task.members(sandbox), reason, now)
            return replace(turn, progress=progress)
        case connecting.Connected() if not lacks_image and provisions.ready(task, name, view):
            return _build(task, turn, view, name)
        case connecting.Connected():
            return turn


def _await(turn: Turn, why: str, now: float) -> Turn:
    """Waiting for something outside is told once, whatever changes meanwhile behind its colon."""
    told = (each.detail for each in turn.progress.timeline if each.what == "waiting")
    if not why or _subject(why) in map(_subject, told):
        return turn
    return replace(turn, progress=turn.progress.noting(Step(now, "waiting", detail=why)))


def _subject(why: str) -> str:
    return why.partition(": ")[0]


def _build(task: Task, turn: Turn, view: View, name: str) -> Turn:
    """The next step of a container that has its image and its network."""
    match view.containers[name]:
        case Absent() | Seen(ContainerSeen(Running.UNSTARTED)):
            return turn.wanting(CreateContainer(name))
        case Seen(ContainerSeen(Running.CREATED)) if credentials.ready(task, view):
            return turn.wanting(StartContainer(name))
        case _:
            return turn


def _watch(intent: Intent, turn: Turn, view: View, name: str, now: float) -> Turn:
    """A running container keeps its metadata endpoint, is probed when that is due, runs again."""
    facts, sandbox = turn.progress.containers[name], intent.task.sandbox(name)
    network, check = view.networks[sandbox], intent.task.container(name).health_check
    if isinstance(network, Seen) and not network.state.served:
        turn = turn.wanting(ServeMetadata(sandbox))
    if facts.restarting:
        return _restart(intent.task, turn, view, name, now)
    if check is None or facts.up_at is None:
        return turn
    due = health.next_probe_at(check, facts.health, facts.up_at)
    if now < due:
        return turn.waking(due)
    able = provisions.ready_to_probe(intent.task.container(name), view)
    return turn.wanting(Probe(name)) if able else turn


def _restart(task: Task, turn: Turn, view: View, name: str, now: float) -> Turn:
    """The next run of a container whose restart policy wants one."""
    match restart.step(task, view, name):
        case restart.Hopeless(reason):
            return replace(turn, progress=not_again(turn.progress, name, reason, now))
        case restart.Ready() if provisions.ready(task, name, view):
            return turn.wanting(RestartContainer(name))
        case _:
            return turn


def _wind_down(intent: Intent, turn: Turn, view: View, now: float, rules: Rules) -> Turn:
    if turn.progress.runs:  # what it does at its end may need credentials too
        turn = _entitle(intent.task, turn, view, now, rules)
    for name in turn.progress.containers:
        if turn.progress.containers[name].ended:
            continue
        push = stopping.push(intent, turn.progress, name, view.containers[name], now, rules)
        if push.ended:
            reason = stopping.reason(intent, turn.progress, name)
            turn = replace(turn, progress=give_up(turn.progress, name, reason, now))
        if push.action is not None:
            turn = turn.wanting(push.action)
        turn = turn.waking(push.wake_at)
    return turn


def _tidy(task: Task, turn: Turn, view: View, now: float) -> Turn:
    """What is left of ended containers goes, and then what is left of the task."""
    for each in tidying.due(task, turn.progress, view):
        if not isinstance(each, tidying.Gone):
            turn = turn.wanting(each)
        elif not turn.progress.closed:
            progress = replace(turn.progress, closed_at=now).noting(Step(now, "closed"))
            turn = replace(turn, progress=progress)
    return turn


def _mark(turn: Turn, now: float) -> Turn:
    """Notes when the task as a whole came to run, and when it stopped."""
    progress = turn.progress
    facts = progress.containers.values()
    up = all(each.started_at is not None or each.ended for each in facts)
    if up and progress.started_at is None and progress.stop is None:
        progress = replace(progress, started_at=now).noting(Step(now, "running"))
    if progress.stopped and progress.stopped_at is None:
        progress = replace(progress, stopped_at=now).noting(Step(now, "stopped"))
    return replace(turn, progress=progress)


def _decide(turn: Turn, view: View, now: float) -> Decision:
    """Holds back what failed and isn't due yet, and finds the earliest time to look again."""
    held = turn.progress.held
    due = tuple(
        each for each in turn.actions if each.key not in held or _is_due(held[each.key], now)
    )
    later = [held[each.key].until for each in turn.actions if each not in due]
    if view.unknown:
        later.append(now + LOOK_AGAIN_S)
    return Decision(
        turn.progress, due, min((*turn.wakes, *later), default=None), _droppable(turn.progress)
    )


def _is_due(held: Held, now: float) -> bool:
    """Nothing is ever held for longer: if it seems to be, somebody has set the clock back."""
    return now >= held.until or held.until > now + LONGEST_HOLD_S


def _droppable(progress: Progress) -> frozenset[str]:
    """Running actions that a task on its way down has no use for."""
    if progress.stop is None:
        return frozenset()
    each = (f"{kind}/{name}" for kind in ("image", "probe") for name in progress.containers)
    return frozenset(each if progress.runs else (*each, "credentials"))
