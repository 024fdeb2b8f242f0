"""Lives of tasks as hypothesis draws them: every event, in any order, at any moment."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.task.model import Task
from agent.task.stopping import Rules
from tests.lives.agent import Agent, Crash, Outcome
from tests.lives.definitions import rules, tasks
from tests.lives.host import Harm

_NUMBER = st.integers(0, 7)


class Lives(RuleBasedStateMachine):
    """One task from its acceptance until nothing of it is left."""

    agent: Agent

    @initialize(
        task=tasks(),
        rules=rules,
        upright=st.booleans(),
        turns=st.sampled_from([0, 4, 8, 12, 20]),
        ages=st.sampled_from([0, 0, 4]),
        waits=st.sampled_from([False, False, False, True]),
    )
    def accept(
        self, task: Task, rules: Rules, upright: bool, turns: int, ages: int, waits: bool
    ) -> None:
        """Many lives begin with some undisturbed turns: more is to be seen of what runs."""
        self.agent = Agent(task, rules)
        if waits:
            self.agent.wait_for_room()
        self.upright = upright
        self.go_on(turns)
        self.grow_old(ages)

    @rule()
    def look(self) -> None:
        self.agent.turn()

    @rule(turns=st.integers(1, 6))
    def go_on(self, turns: int) -> None:
        """The world does for a while what it should."""
        for _ in range(turns):
            self.agent.turn()
            self._land_all()

    @rule(turns=st.integers(1, 6))
    def grow_old(self, turns: int) -> None:
        """The same, each time at the moment that the agent waited for: probes become due."""
        for _ in range(turns):
            self._wake()
            self.go_on(1)

    @rule(dark=st.sets(_NUMBER, min_size=1))
    def look_in_the_dark(self, dark: set[int]) -> None:
        keys = self._keys()
        self.agent.turn(dark=frozenset(keys[each % len(keys)] for each in dark))

    @rule(crash=st.sampled_from([Crash.UNSAVED, Crash.IDLE]))
    def die_in_a_turn(self, crash: Crash) -> None:
        self.agent.turn(crash=crash)

    @rule()
    def die(self) -> None:
        self.agent.crash()

    @precondition(lambda self: self.agent.flying)
    @rule(which=_NUMBER)
    def take_effect(self, which: int) -> None:
        """Part of an action; it goes on."""
        self.agent.flying[self._flying(which)].step()

    @precondition(lambda self: self.agent.flying)
    @rule(which=_NUMBER, outcome=st.sampled_from(Outcome), pulls=st.booleans(), code=st.booleans())
    def finish(self, which: int, outcome: Outcome, pulls: bool, code: bool) -> None:
        self.agent.finish(self._flying(which), outcome, pulls=pulls, code=int(code))

    @precondition(lambda self: self._up())
    @rule(which=_NUMBER, code=st.sampled_from([0, 0, 1, 42, 137]), oom=st.booleans())
    def exit(self, which: int, code: int, oom: bool) -> None:
        up = self._up()
        self.agent.host.exit(up[which % len(up)], code, out_of_memory=oom)

    @precondition(lambda self: self._up())
    @rule(which=_NUMBER, code=st.sampled_from([0, 1, 42]))
    def exit_late(self, which: int, code: int) -> None:
        """After so long that a restart policy answers."""
        self.agent.host.now += 301.0
        self.exit(which, code, oom=False)

    @precondition(lambda self: self._restartable())
    @rule(which=_NUMBER, code=st.sampled_from([0, 1, 42]), turns=st.integers(1, 4))
    def exit_again(self, which: int, code: int, turns: int) -> None:
        """Late, and again soon after it was run again, should it be."""
        up = self._restartable()
        name = up[which % len(up)]
        self.agent.host.now += 301.0
        self.agent.host.exit(name, code)
        self.go_on(turns)
        if self.agent.host.up(name):
            self.agent.host.exit(name, code)

    @precondition(lambda self: self._up())
    @rule(which=_NUMBER)
    def lose_shim(self, which: int) -> None:
        up = self._up()
        self.agent.lose_shim(up[which % len(up)])

    @precondition(lambda self: self.agent.namespaces_losable())
    @rule()
    def lose_namespaces(self) -> None:
        self.agent.host.lose_namespaces()

    @precondition(lambda self: self.agent.losable())
    @rule(which=_NUMBER, code=st.sampled_from([None, 0, 1, 42]))
    def lose_network(self, which: int, code: int | None) -> None:
        """Somebody removes the namespace's file; who runs in it runs on, at least for long."""
        losable, host = self.agent.losable(), self.agent.host
        sandbox = losable[which % len(losable)]
        del host.sandboxes[sandbox]
        host.now += 301.0
        for name in host.task.members(sandbox):
            if code is not None and host.up(name):
                host.exit(name, code)

    @rule(room=st.booleans())
    def have_room(self, room: bool) -> None:
        """What there is of the host for a task that waits for its share."""
        self.agent.make_room(room=room)

    @rule()
    def reboot(self) -> None:
        self.agent.reboot()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 31.0, 61.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.agent.host.now += seconds

    @rule()
    def wait_for_what_is_next(self) -> None:
        self._wake()

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        self.agent.host.now += seconds

    @rule(there=st.booleans())
    def move_device(self, there: bool) -> None:
        self.agent.host.device = there

    @rule()
    def move_tag(self) -> None:
        self.agent.host.version += 1

    @rule(force=st.sampled_from([False, False, True]))
    def ask_to_stop(self, force: bool) -> None:
        self.agent.ask_to_stop(force=force)

    def teardown(self) -> None:
        """In a world that does what it should, the task runs; told to, it stops and is closed."""
        if not hasattr(self, "agent"):
            return
        if self.upright:
            self._come_up()
        self.agent.ask_to_stop(force=False)
        self._come_down()

    def _come_up(self) -> None:
        agent = self.agent
        agent.host.device = True
        agent.make_room(room=True)
        for _ in range(_BOUND):
            if agent.progress.started_at is not None or agent.progress.stop is not None:
                return
            changed = agent.turn()
            landed = self._land_all()
            if not changed and not landed and not self._end_awaited():
                self._wake()
        raise Harm(f"the task never came up: {agent.progress}")

    def _come_down(self) -> None:
        agent = self.agent
        for _ in range(_BOUND):
            if agent.progress.closed:
                return
            changed = agent.turn()
            landed = self._land_all()
            for name, box in tuple(agent.host.boxes.items()):
                if box.up and box.told and not name.endswith("2"):  # that one must be killed
                    agent.host.exit(name, 143)
                    landed = True
            if not changed and not landed and not agent.progress.closed:
                self._wake()
        raise Harm(f"the task was never closed: {agent.progress}")

    def _land_all(self) -> bool:
        """Every action ends well, but for pulls: of those the version is found out first."""
        keys = tuple(self.agent.flying)
        for key in keys:
            self.agent.finish(key, Outcome.DONE)
        return bool(keys)

    def _end_awaited(self) -> bool:
        """Containers end whose end others wait for; each with success."""
        waited = {
            each.container_name
            for container in self.agent.task.definition.container_definitions
            for each in container.depends_on
            if each.condition in ("COMPLETE", "SUCCESS")
        }
        ends = [each for each in self._up() if each in waited]
        for name in ends:
            self.agent.host.exit(name, 0)
        return bool(ends)

    def _wake(self) -> None:
        agent = self.agent
        if agent.wake_at is None:
            return  # an event is outstanding, or the turn would have complained
        agent.host.now = max(agent.host.now, agent.wake_at)

    def _up(self) -> list[str]:
        return [name for name, box in self.agent.host.boxes.items() if box.up]

    def _restartable(self) -> list[str]:
        task = self.agent.task
        return [each for each in self._up() if task.container(each).restart_policy is not None]

    def _flying(self, which: int) -> str:
        keys = tuple(self.agent.flying)
        return keys[which % len(keys)]

    def _keys(self) -> list[str]:
        task = self.agent.task
        return [
            "task",
            "interface",
            "credentials",
            *(f"network/{each}" for each in task.sandboxes),
            *(f"container/{each.name}" for each in task.containers),
            *(f"provision/{each}" for each in ("volumes", "namespaces", "secrets")),
        ]


_BOUND = 400
"""Turns that any life may take to come up, or down."""
