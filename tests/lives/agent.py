"""The agent's side of a life: one turn of its loop at a time, and what must hold after each.

The same loop as ``engine.supervisor``, without its clock and its concurrency: what is busy is noted
before the look, facts are saved before anything is done, and a crash may come between any two.
The judge knows the rules of ECS in its own words; it asks the host what is true, not the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from signal import SIGKILL

from agent.task import actions, status
from agent.task.actions import Action, Decision, News
from agent.task.definition import ContainerDefinition
from agent.task.model import (
    ContainerProgress,
    Intent,
    Progress,
    StopRequest,
    Task,
    first_progress,
)
from agent.task.plan import plan
from agent.task.records import Health, HealthRecord, Provision
from agent.task.stopping import Rules
from agent.task.view import Running, Unknown, View
from tests.lives.host import Host, never


class Outcome(Enum):
    """How an action ends."""

    DONE = "done"
    FAILED = "failed before it was done"
    UNHEARD = "done, and the answer got lost"
    NEVER = "failed for good"


class Crash(Enum):
    """Where in a turn the agent dies."""

    NOT = "it does not"
    UNSAVED = "before the facts are on disk"
    IDLE = "before anything is begun"


@dataclass
class Flight:
    """An action under way."""

    action: Action
    began_at: float
    progress: Progress
    steps: Iterator[None]
    landed: bool = False

    def step(self) -> None:
        """The next piece of it takes effect."""
        self.landed = next(self.steps, self) is self

    def land(self) -> None:
        """All of it takes effect."""
        while not self.landed:
            self.step()


@dataclass
class Agent:
    """Its memory (``flying``, ``news``), its disk (``intent``, ``progress``), and the host."""

    task: Task
    rules: Rules
    host: Host = field(init=False)
    intent: Intent = field(init=False)
    progress: Progress = field(init=False)
    flying: dict[str, Flight] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)
    wake_at: float | None = None
    sent_at: dict[str, float] = field(default_factory=dict)
    healthy: dict[str, int] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.host = Host(self.task)
        self.intent = Intent(self.task)
        self.progress = first_progress(self.task)

    def turn(self, *, dark: frozenset[str] = frozenset(), crash: Crash = Crash.NOT) -> bool:
        """Look, plan, save, act. Whether that changed anything, or began something."""
        busy, heard = frozenset(self.flying), tuple(self.news)
        self.news.clear()
        view = self.host.look(self.progress).hiding(busy | dark)
        before = self.progress
        asked = (self.intent, before, view, heard, self.host.now, self.rules)
        decision = plan(*asked)
        never(decision != plan(*asked), "equal questions, different answers")
        self._judge(decision, view)
        if crash is Crash.UNSAVED:
            self.crash()
            return True
        self.progress = decision.progress
        if crash is Crash.IDLE:
            self.crash()
            return True
        for key in decision.drop & self.flying.keys():
            del self.flying[key]  # cancelled: it has no news
        begun = [each for each in decision.actions if each.key not in busy | self.flying.keys()]
        for each in begun:
            steps = self.host.steps(self.progress, each)
            self.flying[each.key] = Flight(each, self.host.now, self.progress, steps)
        self.wake_at = decision.wake_at
        never(not dark and self._stalls(), f"nothing will ever wake it: {view}")
        return bool(begun) or decision.progress != before

    def finish(self, key: str, outcome: Outcome, *, pulls: bool = False, code: int = 0) -> None:
        """The action ends, and its news waits for the next turn."""
        flight = self.flying.pop(key)
        action = flight.action
        if outcome in (Outcome.DONE, Outcome.UNHEARD):
            flight.land()
        result: actions.Result
        match outcome:
            case Outcome.DONE:
                result = actions.Done(self._gave(flight, pulls=pulls, code=code))
            case Outcome.NEVER:
                result = actions.Never("SomeError", "it can't be")
                if isinstance(action, actions.StartContainer | actions.RestartContainer):
                    self.uncertain.add(action.container)  # it may run all the same
            case _:
                result = actions.Again("not now")
        self.news.append(News(action, flight.began_at, self.host.now, result))

    def crash(self) -> None:
        """The agent dies: what it remembered is gone, what was begun stays half done."""
        self.flying.clear()
        self.news.clear()
        self.host.lose_agent()
        self.wake_at = self.host.now
        facts = self.progress.containers
        # Of the others nobody knows any more that they were asked to end.
        known = {name for name, each in facts.items() if each.stop_sent_at is not None}
        self.sent_at = {name: self.sent_at[name] for name in self.sent_at.keys() & known}

    def lose_shim(self, name: str) -> None:
        """The shim of a container that runs is killed."""
        self._lose_process(name)
        self.host.lose_shim(name)

    def losable(self) -> list[str]:
        """Sandboxes whose containers have all begun to run, and that nobody is working on."""
        flying = {getattr(each.action, "container", "") for each in self.flying.values()}
        boxes = self.host.boxes
        return [
            sandbox
            for sandbox in self.host.sandboxes
            if all(
                name in boxes and boxes[name].began and name not in flying
                for name in self.task.members(sandbox)
            )
            and f"network/{sandbox}" not in self.flying
        ]

    def namespaces_losable(self) -> bool:
        """Whether nobody is just entering them: that fails on a host, and is no plan's fault."""
        entering = actions.CreateContainer | actions.RestartContainer
        return Provision.NAMESPACES in self.host.provided and not any(
            isinstance(each.action, entering) for each in self.flying.values()
        )

    def reboot(self) -> None:
        """The machine loses its power."""
        for name in self.host.boxes:
            self._lose_process(name)
        self.host.reboot()
        self.crash()

    def _lose_process(self, name: str) -> None:
        """A run of which the agent has nothing on disk counts as none: nobody can ever know of it.

        Of one that it knows to have begun the exit code is unknown from now on.
        """
        facts, host = self.progress.containers[name], self.host
        if facts.ended:
            return
        if facts.restart is not None and facts.restarting:
            host.starts[name] = min(host.starts[name], facts.restart.count)
            host.exits[name] = facts.restart.exit_code
        elif facts.started_at is not None:
            host.exits[name] = None
        else:
            host.starts.pop(name, None)
            host.exits.pop(name, None)
            host.boxes[name].runs = 0

    def wait_for_room(self) -> None:
        """It was accepted by a host that has nothing left for it."""
        self.progress = replace(self.progress, admitted_at=None)
        self.host.room = False

    def make_room(self, *, room: bool) -> None:
        """As the queue does it: who waits is woken. What was granted is not taken back."""
        self.host.room = room
        if room and self.progress.admitted_at is None:
            self.wake_at = self.host.now

    def ask_to_stop(self, *, force: bool) -> None:
        """As the store keeps it: the first request stays, force can be added."""
        if self.progress.stopped:
            return
        asked = self.intent.stop or StopRequest(self.host.now, "asked")
        self.intent = replace(self.intent, stop=replace(asked, force=asked.force or force))
        self.wake_at = self.host.now

    def _gave(self, flight: Flight, *, pulls: bool, code: int) -> actions.Gift:
        match flight.action:
            case actions.Probe(name):
                never_ran = self.host.starts.get(name, 0)
                self.healthy[name] = never_ran if code == 0 else self.healthy.get(name, 0)
                return actions.Probed(code, "")
            case actions.Signal(name, number) if number != SIGKILL:
                self.sent_at.setdefault(name, self.host.now)
            case _:
                pass
        return self.host.gift(flight.progress, flight.action, pulls=pulls)

    def _stalls(self) -> bool:
        """Whether neither time nor an event will wake it, though it is not done."""
        outstanding = self.flying or any(each.up for each in self.host.boxes.values())
        outstanding = outstanding or not self.host.room  # the queue will ring
        return not (self.progress.closed or self.wake_at is not None or outstanding)

    # What must hold.

    def _judge(self, decision: Decision, view: View) -> None:
        for action in decision.actions:
            self._judge_action(decision, action)
        self._judge_facts(self.progress, decision.progress)
        if decision.progress.closed:
            never(not self.host.empty, f"closed while something is left: {self.host}")
            never(bool(decision.actions), "a closed task wants something")
            never(not decision.progress.stopped, "closed before it has stopped")
        for name, facts in decision.progress.containers.items():
            self._judge_ended(name, facts, view)

    def _judge_action(self, decision: Decision, action: Action) -> None:
        progress = decision.progress
        never(progress.admitted_at is None, f"{action} without a share of the host")
        match action:
            case actions.StartContainer(name) | actions.CreateContainer(name):
                never(progress.stop is not None, f"{name} begins in a task that stops")
                never(progress.containers[name].ended, f"{name} begins after its end")
                never(name in self.host.exits, f"{name} begins again without a restart")
                if isinstance(action, actions.CreateContainer):
                    self._judge_provided(name)
                self._judge_order(progress, name)
            case actions.RestartContainer(name):
                never(progress.stop is not None, f"{name} runs again in a task that stops")
                never(progress.containers[name].ended, f"{name} runs again after its end")
                policy = self.task.container(name).restart_policy
                never(policy is None or not policy.enabled, f"{name} has no restart policy")
                never(self._cut_off(name), f"{name} is to run again without its network")
                self._judge_provided(name)
            case actions.Signal(name, number):
                self._judge_signal(decision, name, number)
            case actions.DeleteContainer(name):
                uncertain = name in self.uncertain
                never(self.host.up(name) and not uncertain, f"{name} is deleted while it runs")
                self._judge_exit_kept(self.progress, decision.progress, name)
            case _:
                pass

    def _cut_off(self, name: str) -> bool:
        return self.task.sandbox(name) not in self.host.sandboxes

    def _judge_provided(self, name: str) -> None:
        """What the task has as a whole is there, and the container's own secrets."""
        whole, provided = self.task.definition, self.host.provided
        lacks = {
            Provision.VOLUMES: any(each.docker_volume_configuration for each in whole.volumes),
            Provision.NAMESPACES: whole.pid_mode == "task",
            Provision.SECRETS: bool(self.task.container(name).secrets),
        }
        lacking = [kind for kind, wanted in lacks.items() if wanted and kind not in provided]
        never(bool(lacking), f"{name} without {lacking}")

    def _judge_order(self, progress: Progress, name: str) -> None:
        """Every condition of dependsOn, links and volumesFrom holds on the host."""
        definition = self.task.container(name)
        for each in definition.depends_on:
            target = each.container_name
            ran, facts = target in self.host.ran, progress.containers[target]
            code, up = self.host.exits.get(target), self.host.up(target)
            skipped = facts.ended and facts.exit_code == 143 and not ran
            over = facts.ended and not up and code is not None
            held = {
                "START": ran or skipped,
                "COMPLETE": over or skipped,
                "SUCCESS": over and code == 0,
                "HEALTHY": self.healthy.get(target, 0) == self.host.starts.get(target, 0) > 0,
            }[each.condition]
            never(not held, f"{name} begins though {target} is not {each.condition}")
        for link in definition.links:
            target = link.split(":")[0]
            facts = progress.containers[target]
            skipped = facts.ended and facts.exit_code == 143
            never(
                not self.host.starts.get(target) and not skipped, f"{name} begins before {target}"
            )

    def _judge_signal(self, decision: Decision, name: str, number: int) -> None:
        never(decision.progress.stop is None, f"{name} is signalled in a task that goes on")
        if self.intent.stop is not None and self.intent.stop.force:
            return
        for each in self.task.definition.container_definitions:
            if name in _wanted(each):
                never(self.host.up(each.name), f"{name} is stopped before {each.name}")
        if number != SIGKILL:
            never(name in self.sent_at, f"{name} is asked to end twice")
            return
        timeout = self.task.container(name).stop_timeout or self.rules.stop_timeout_s
        never(name not in self.sent_at, f"{name} is killed without having been asked")
        never(self.host.now < self.sent_at[name] + timeout, f"{name} is killed too early")

    def _judge_exit_kept(self, saved: Progress, wanted: Progress, name: str) -> None:
        box = self.host.boxes.get(name)
        if box is None or box.state is not Running.STOPPED or name in self.uncertain:
            return
        never(wanted.containers[name].exit_code != box.code, f"the exit code of {name} is lost")

    def _judge_facts(self, before: Progress, after: Progress) -> None:
        """What is known stays, and nothing goes backwards."""
        was, now = status.task_last(self.intent, before), status.task_last(self.intent, after)
        never(_LAST.index(now) < _LAST.index(was), f"the task went from {was} to {now}")
        never(before.stop is not None and after.stop != before.stop, "another cause to stop")
        for fact in ("started_at", "stopped_at", "closed_at", "execution_stopped_at"):
            old = getattr(before, fact)
            never(old is not None and getattr(after, fact) != old, f"another {fact}")
        self._judge_last_exits(before, after)
        for name, old_facts in before.containers.items():
            self._judge_container(name, old_facts, after.containers[name])

    def _judge_container(
        self, name: str, before: ContainerProgress, after: ContainerProgress
    ) -> None:
        was, now = status.container_known(before), status.container_known(after)
        never(_KNOWN.index(now) < _KNOWN.index(was), f"{name} went from {was} to {now}")
        for fact in ("exit_code", "finished_at", "started_at", "image"):
            old = getattr(before, fact)
            never(old is not None and getattr(after, fact) != old, f"{name}: another {fact}")
        never(before.ended and after.reason != before.reason, f"{name}: another reason")
        counts = [each.restart.count if each.restart else 0 for each in (before, after)]
        never(not 0 <= counts[1] - counts[0] <= 1, f"{name}: restarts went by {counts}")
        if counts[1] > counts[0]:
            never(
                not self._wants_another_run(name, before, after), f"{name} is to run again: {after}"
            )
            never(after.health != HealthRecord(), f"{name} takes its health into another run")
        started = self.host.starts.get(name, 0)
        healthy = after.health.status is Health.HEALTHY and self.host.up(name)
        never(healthy and self.healthy.get(name, 0) < started, f"{name} has the health of old")
        never(
            started > 1 + counts[0], f"{name} was started {started} times in {counts[0]} restarts"
        )

    def _judge_last_exits(self, before: Progress, after: Progress) -> None:
        """Nothing ends that is to run again, unless the task does, or it can't."""
        ends = [
            name
            for name, facts in after.containers.items()
            if facts.ended and not before.containers[name].ended
        ]
        if len(ends) != 1 or self.intent.stop is not None or before.stop is not None:
            return
        (name,) = ends
        if before.containers[name].started_at is None or self._cut_off(name):
            return
        facts, end = before.containers[name], after.containers[name]
        if facts.restart is not None and facts.restarting:
            box = self.host.boxes.get(name)
            same = box is not None and box.exited_at == facts.restart.exited_at
            never(same and end.reason == facts.restart.reason, f"{name} ends without another run")
        elif end.exit_code is not None and name not in self.uncertain:
            never(
                self._wants_another_run(name, facts, end), f"{name} has ended, and should run again"
            )

    def _wants_another_run(
        self, name: str, before: ContainerProgress, after: ContainerProgress
    ) -> bool:
        """Whether its policy answers the exit that it is at on the host."""
        policy, box = self.task.container(name).restart_policy, self.host.boxes[name]
        if policy is None or not policy.enabled or box.bereft:
            return False
        if box.exited_at is None or box.code in policy.ignored_exit_codes:
            return False
        began_at = before.restart.at if before.restart is not None else after.started_at
        return began_at is not None and box.exited_at - began_at >= policy.restart_attempt_period

    def _judge_ended(self, name: str, facts: ContainerProgress, view: View) -> None:
        """An end that is claimed is one, and its code is that of the last run."""
        if not facts.ended or isinstance(view.containers[name], Unknown):
            return
        uncertain = name in self.uncertain
        never(self.host.up(name) and not uncertain, f"{name} is said to have ended, and runs")
        if facts.exit_code is not None and name in self.host.exits and not uncertain:
            true = self.host.exits[name]
            never(true not in (None, facts.exit_code), f"{name} ended with {true}: {facts}")


_LAST = ("PENDING", "RUNNING", "STOPPING", "STOPPED")
_KNOWN = ("NONE", "PULLED", "CREATED", "RUNNING", "STOPPED")


def _wanted(container: ContainerDefinition) -> set[str]:
    """All containers that this one depends on in any way."""
    return {
        *(each.container_name for each in container.depends_on),
        *(each.split(":")[0] for each in container.links),
        *(each.source_container for each in container.volumes_from),
    }
