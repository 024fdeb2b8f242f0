"""``hostler drain`` and ``hostler undrain``: empty this host before maintenance, and use it again.

Exit codes of drain: 0 when no task is left, 1 when the time was up before that, 130 if left with
Ctrl-C; 125 and 2 as for every verb. However it ends, the host stays DRAINING.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

import typer

from agent.cli import tasks
from agent.cli.client import Answer, Client
from agent.cli.drainscreen import DrainScreen, drain_screen
from agent.cli.errors import CommandError
from agent.cli.follow import LEFT
from agent.cli.interrupts import Interrupts
from agent.cli.options import AsJson, Socket, connect
from agent.cli.output import print_json
from agent.cli.spans import seconds
from agent.task.daemons import is_daemon
from agent.task.records import TIMELINE_LIMIT

REASON = "The host is being drained"
WAIT_S = 1.0
"""Longest time between two looks at what is left."""

TIME_IS_UP = 1


def drain(
    timeout: Annotated[
        str,
        typer.Option(metavar="SPAN", help="Give up after so long: 90s, 10m, 2h. [default: never]"),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Stop protected tasks too, and don't wait for them.")
    ] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Take no new tasks, and stop all gracefully.

    Daemon tasks (tag hostler:daemon=true, or a group daemon:NAME) are stopped when the others have.
    Protected tasks are waited for. Ctrl-C leaves the host draining, and tasks as they are.
    """
    limit_s = _limit(timeout)
    client = connect(socket)
    set_state(client, "DRAINING")
    with Interrupts() as interrupts, drain_screen(quiet=json) as screen:
        draining = Draining(client, screen, force=force)
        code = draining.run(interrupts, limit_s)
    if json:
        print_json({"drained": code == 0, **draining.told()})
    raise typer.Exit(code)


def undrain(socket: Socket = None) -> None:
    """Take new tasks again."""
    set_state(connect(socket), "ACTIVE")


def set_state(client: Client, status: str) -> None:
    """The host is ACTIVE or DRAINING."""
    arns = client.call("ListContainerInstances", {})["containerInstanceArns"]
    asked = {"containerInstances": arns, "status": status}
    client.call("UpdateContainerInstancesState", asked)


@dataclass(slots=True)
class Draining:
    """The tasks of a host on their way down. ``left`` are those of which something is there."""

    client: Client
    screen: DrainScreen
    force: bool
    left: dict[str, Answer] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    protected: dict[str, Answer] = field(default_factory=dict)

    def run(self, interrupts: Interrupts, limit_s: float | None) -> int:
        """Stops them until none is left, the time is up, or a signal comes; gives the exit code."""
        ends_at = None if limit_s is None else time.monotonic() + limit_s
        while True:
            self._look()
            if not self.left:
                self.screen.end("no task is left; 'hostler undrain' takes new ones again")
                return 0
            self._push()
            wait_s = WAIT_S if ends_at is None else min(WAIT_S, ends_at - time.monotonic())
            if wait_s <= 0:
                self.screen.end(f"the time is up and {_tasks(len(self.left))} left; {_STAYS}")
                return TIME_IS_UP
            interrupts.wait(lambda: self._wait(wait_s))  # noqa: B023 - waited for at once
            if interrupts.take():
                self.screen.end(f"left with {_tasks(len(self.left))} to go; {_STAYS}")
                return LEFT

    def told(self) -> Answer:
        """What became of the tasks, by ARN."""
        return {
            "stopped": self.stopped,
            "left": list(self.left),
            "protected": list(self.protected),
        }

    def _look(self) -> None:
        """Finds out what is left, and who of that is protected."""
        known = tasks.describe(self.client, tasks.all_arns(self.client))
        found = {
            each["taskArn"]: each
            for each in known
            if each["lastStatus"] != "STOPPED" or each["taskArn"] in self.left
        }
        over = [arn for arn, each in found.items() if self._is_over(each)]
        for arn in [*over, *(self.left.keys() - found.keys())]:  # the latter were forgotten
            self.stopped.append(arn)
            self.screen.gone(arn)
        self.left = {arn: each for arn, each in found.items() if arn not in over}
        shown = self.client.call("GetTaskProtection", {})["protectedTasks"]
        self.protected = {
            each["taskArn"]: each
            for each in shown
            if each["protectionEnabled"] and each["taskArn"] in self.left
        }
        self.screen.counts(len(self.stopped), len(self.left))

    def _push(self) -> None:
        """Tells those to stop whose turn it is."""
        spared = {} if self.force else self.protected
        for arn, each in spared.items():
            self.screen.protected(arn, float(each["expirationDate"]))
        others = [each for each in self.left.values() if not _daemon(each)]
        running = [each for each in others if each["lastStatus"] != "STOPPED"]
        for each in sorted(running or self.left.values(), key=_begun):
            arn = each["taskArn"]
            if each["desiredStatus"] != "STOPPED" and arn not in spared:
                self.client.call("StopTask", {"task": arn, "reason": REASON})
                each["desiredStatus"] = "STOPPED"
                self.screen.stopping(arn, tasks.definition_name(each["taskDefinitionArn"]))

    def _wait(self, wait_s: float) -> None:
        """Returns when one of them is over, or after that time."""
        self._watch(next(iter(self.left)), wait_s)

    def _is_over(self, task: Answer) -> bool:
        return task["lastStatus"] == "STOPPED" and bool(self._watch(task["taskArn"], 0)["closed"])

    def _watch(self, arn: str, wait_s: float) -> Answer:
        asked = {"task": arn, "since": TIMELINE_LIMIT, "waitSeconds": wait_s}
        return self.client.call("Hostler.WatchTask", asked, wait_s=wait_s)


_STAYS = "the host stays draining: 'hostler drain' goes on, 'hostler undrain' ends it"


def _limit(text: str) -> float | None:
    limit_s = seconds(text) if text else None
    if text and limit_s is None:
        raise CommandError(f"--timeout {text}: must be a span of time such as 90s, 10m or 2h")
    return limit_s


def _begun(task: Answer) -> bool:
    """Those that wait for room come first: they shall not begin when others leave them some."""
    return bool(task["lastStatus"] != "PENDING")


def _daemon(task: Answer) -> bool:
    return is_daemon(task.get("group", ""), task.get("tags", []))


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"
