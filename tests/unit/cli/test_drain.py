"""``hostler drain`` and ``hostler undrain``."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.cli.drain import REASON
from agent.cli.drainscreen import Bar, drain_screen
from tests.fakes.api import Body, FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.test_pulls import ERASED, plain, terminal
from tests.unit.cli.worlds import HEAD, container, know, task

HOST = f"{HEAD}:container-instance/default/0"
NEVER = 4_000_000_000.0


@dataclass
class Host:
    """Tasks that stop when they are told to, and are gone one look later."""

    api: FakeApi
    tasks: list[Body] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    protected: dict[str, float] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    looks_protected: int = 1_000_000

    def __post_init__(self) -> None:
        know(self.api, *self.tasks)
        self.api.answers |= {
            "ListContainerInstances": {"containerInstanceArns": [HOST]},
            "UpdateContainerInstancesState": {},
            "GetTaskProtection": self.protection,
            "StopTask": self.stop,
            "Hostler.WatchTask": self.watch,
        }

    def of(self, arn: str) -> Body:
        return next(each for each in self.tasks if each["taskArn"] == arn)

    def protection(self, _body: Body) -> Body:
        self.looks_protected -= 1
        shown = [
            {
                "taskArn": each["taskArn"],
                "protectionEnabled": each["taskArn"] in self.protected and self.looks_protected > 0,
                "expirationDate": self.protected.get(each["taskArn"]),
            }
            for each in self.tasks
            if each["desiredStatus"] == "RUNNING"
        ]
        return {"protectedTasks": shown, "failures": []}

    def stop(self, body: Body) -> Body:
        arn = body["task"]
        self.told.append(arn[-1])
        self.of(arn)["desiredStatus"] = "STOPPED"
        self.of(arn)["lastStatus"] = "STOPPING" if arn in self.stubborn else "STOPPED"
        return {"task": self.of(arn)}

    def watch(self, body: Body) -> Body:
        arn = body["task"]
        closed = arn in self.closed
        if self.of(arn)["lastStatus"] == "STOPPED":
            self.closed.add(arn)
        return {"task": self.of(arn), "steps": [], "closed": closed, "pulls": []}


def named(letter: str, **facts: Any) -> Body:
    return task(container("web"), task_id=letter * 32, **facts)


def arn(letter: str) -> str:
    return str(named(letter)["taskArn"])


def test_it_drains_the_host_and_stops_daemons_last(api: FakeApi, hostler: Hostler) -> None:
    tags = [{"key": "hostler:daemon", "value": "true"}]
    host = Host(api, [named("a", tags=tags), named("b"), named("c", group="daemon:x"), named("d")])
    ran = hostler("drain")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(host.told[:2]) == ["b", "d"]
    assert sorted(host.told[2:]) == ["a", "c"]
    assert api.asked("UpdateContainerInstancesState") == [
        {"containerInstances": [HOST], "status": "DRAINING"}
    ]
    assert {each["reason"] for each in api.asked("StopTask")} == {REASON}
    lines = ran.out.splitlines()
    assert lines[0] == "stopping task bbbbbbbbbbbb (hello:3)"
    assert "task bbbbbbbbbbbb is gone" in lines
    assert lines[-1] == "no task is left; 'hostler undrain' takes new ones again"


def test_tasks_that_have_not_begun_are_told_first(api: FakeApi, hostler: Hostler) -> None:
    """Or they would begin when the others leave them room."""
    host = Host(api, [named("a"), named("b", lastStatus="PENDING"), named("c")])
    assert hostler("drain").code == 0
    assert host.told == ["b", "a", "c"]


def test_a_host_without_tasks_is_drained_at_once(api: FakeApi, hostler: Hostler) -> None:
    stopped = named("a", lastStatus="STOPPED", desiredStatus="STOPPED")
    host = Host(api, [stopped])
    assert hostler("drain").out == "no task is left; 'hostler undrain' takes new ones again\n"
    assert host.told == []


def test_a_protected_task_is_waited_for_and_daemons_with_it(api: FakeApi, hostler: Hostler) -> None:
    host = Host(api, [named("a"), named("b"), named("c", group="daemon:x")])
    host.protected, host.looks_protected = {arn("a"): NEVER}, 5
    ran = hostler("drain")
    assert ran.code == 0
    assert host.told == ["b", "a", "c"]
    waiting = [each for each in ran.out.splitlines() if "is protected" in each]
    assert len(waiting) == 1, "told once"
    assert waiting[0].startswith("task aaaaaaaaaaaa is protected for ")
    assert waiting[0].endswith("d more: waiting for it; --force stops it too")


def test_force_stops_protected_tasks_gracefully(api: FakeApi, hostler: Hostler) -> None:
    host = Host(api, [named("a")], protected={arn("a"): NEVER})
    ran = hostler("drain", "--force")
    assert (ran.code, host.told) == (0, ["a"])
    assert "protected" not in ran.out
    assert api.asked("StopTask") == [{"task": arn("a"), "reason": REASON}]


def test_when_the_time_is_up_it_says_what_is_left(api: FakeApi, hostler: Hostler) -> None:
    host = Host(api, [named("a"), named("b")], protected={arn("b"): NEVER}, stubborn={arn("a")})
    ran = hostler("drain", "--timeout", "0s")
    assert (ran.code, host.told) == (1, ["a"])
    assert ran.out.splitlines()[-1] == (
        "the time is up and 2 tasks left; the host stays draining: 'hostler drain' goes on, "
        "'hostler undrain' ends it"
    )
    ran = hostler("drain", "--timeout", "0s", "--json")
    assert ran.code == 1
    assert json.loads(ran.out) == {
        "drained": False,
        "stopped": [],
        "left": [arn("a"), arn("b")],
        "protected": [arn("b")],
    }
    assert host.told == ["a"], "nobody is told twice"


def test_json_tells_what_became_of_all(api: FakeApi, hostler: Hostler) -> None:
    Host(api, [named("a")])
    ran = hostler("drain", "--json")
    assert ran.code == 0
    assert json.loads(ran.out) == {
        "drained": True,
        "stopped": [arn("a")],
        "left": [],
        "protected": [],
    }


@pytest.mark.parametrize("text", ["1", "x", "-1s"])
def test_a_bad_timeout_is_an_error_before_anything_is_asked(
    api: FakeApi, hostler: Hostler, text: str
) -> None:
    ran = hostler("drain", f"--timeout={text}")
    assert ran.code == 125
    assert ran.err == (
        f"hostler: --timeout {text}: must be a span of time such as 90s, 10m or 2h\n"
    )
    assert api.calls == []


def test_an_interrupt_leaves_the_host_draining(api: FakeApi, hostler: Hostler) -> None:
    host = Host(api, [named("a"), named("b")], stubborn={arn("a"), arn("b")})

    def interrupted(body: Body) -> Body:
        if body["waitSeconds"]:
            os.kill(os.getpid(), signal.SIGINT)
        return host.watch(body)

    api.answers["Hostler.WatchTask"] = interrupted
    ran = hostler("drain")
    assert ran.code == 130
    assert ran.out.splitlines()[-1].startswith("left with 2 tasks to go; the host stays draining")
    assert [each["status"] for each in api.asked("UpdateContainerInstancesState")] == ["DRAINING"]


def test_a_task_that_was_forgotten_meanwhile_is_gone(api: FakeApi, hostler: Hostler) -> None:
    host = Host(api, [named("a")], stubborn={arn("a")})

    def forgetting(body: Body) -> Body:
        answer = host.watch(body)
        know(api)
        return answer

    api.answers["Hostler.WatchTask"] = forgetting
    ran = hostler("drain")
    assert ran.code == 0
    assert "task aaaaaaaaaaaa is gone" in ran.out


def test_undrain_takes_new_tasks_again(api: FakeApi, hostler: Hostler) -> None:
    Host(api)
    assert hostler("undrain") == (0, "", "")
    assert api.asked("UpdateContainerInstancesState") == [
        {"containerInstances": [HOST], "status": "ACTIVE"}
    ]


def test_a_terminal_shows_a_bar_below_the_lines() -> None:
    with terminal() as seen:
        with drain_screen(quiet=False) as screen:
            assert isinstance(screen, Bar)
            screen.counts(1, 3)
            assert "1/4 tasks gone" in plain(seen.read())
            screen.stopping(arn("a"), "web:1")
            screen.counts(4, 0)
            screen.end("no task is left")
            drawn = plain(seen.read())
        assert ERASED in seen.read()
    assert "stopping task aaaaaaaaaaaa (web:1)" in drawn
    assert "4/4 tasks gone" in drawn
    assert "no task is left" in drawn
