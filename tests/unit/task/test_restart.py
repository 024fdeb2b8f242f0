"""The restart policy, rule by rule: which exit is answered, what shows, how an attempt ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent.task import provisions, restart, status
from agent.task.actions import (
    DeleteContainer,
    Done,
    Never,
    News,
    Probe,
    Probed,
    Provide,
    RestartContainer,
    ServeMetadata,
    Signal,
)
from agent.task.definition import ContainerDefinition
from agent.task.learn import learn
from agent.task.model import ContainerProgress, Intent, Progress, StopCode
from agent.task.records import Health, Provision, Restart
from agent.task.runs import FEW, OUT_OF_MEMORY, VANISHED
from agent.task.stopping import Rules
from agent.task.view import Absent, ContainerSeen, NetworkSeen, Running, Seen, Unknown, View
from tests.script import Script
from tests.worlds import MADE, UP, container, exited, running, task, view

POLICY = {"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [42]}
HALF_MADE = ContainerSeen(Running.UNSTARTED)


def web(**fields: object) -> ContainerDefinition:
    return container("web", **{"restartPolicy": POLICY, **fields})


def script(*containers: ContainerDefinition) -> Script:
    made = task(*(containers or (web(),)))
    s = Script(made, seen={each.name: UP for each in made.containers}, progress=None)
    s.progress = running(Intent(made))
    return s


def restarting(*containers: ContainerDefinition, at: float = 100.0) -> Script:
    """A container that ended with 3 at 100 and is to run again."""
    s = script(*containers)
    s.sees(web=exited(3, at))
    assert s.turn(at=at) == [RestartContainer("web")]
    return s


def facts(s: Script, name: str = "web") -> ContainerProgress:
    return s.progress.containers[name]


@pytest.mark.parametrize(
    ("policy", "seen", "last", "answers"),
    [
        (POLICY, exited(1, 60), None, True),
        (POLICY, exited(0, 60), None, True),
        (POLICY, exited(137, 60), None, True),
        (POLICY, exited(1, 59.9), None, False),
        (POLICY, exited(42, 600), None, False),
        (POLICY, exited(1, 600), Restart(1, 541, 1, 540), False),
        (POLICY, exited(1, 600), Restart(1, 540, 1, 540), True),
        (POLICY, ContainerSeen(Running.STOPPED), None, False),
        (POLICY, replace(exited(137, 600), namespace_lost=True), None, False),
        (POLICY, ContainerSeen(Running.STOPPED, exit_code=1), None, False),
        ({**POLICY, "enabled": False}, exited(1, 600), None, False),
        (None, exited(1, 600), None, False),
    ],
)
def test_which_exit_is_answered(
    policy: object, seen: ContainerSeen, last: Restart | None, answers: bool
) -> None:
    known = ContainerProgress(started_at=0.0, restart=last)
    assert restart.answers(web(restartPolicy=policy), known, seen) is answers


def test_count_and_time_are_there_before_the_attempt_and_nobody_else_notices() -> None:
    needs = [{"containerName": "web", "condition": "COMPLETE"}]
    s = script(web(essential=False), container("main"), container("late", dependsOn=needs))
    s.progress = s.progress.having("late", started_at=None, created_at=None)
    s.sees(web=exited(3, 100), main=UP)
    assert RestartContainer("web") in s.turn(at=101)
    assert facts(s).restart == Restart(1, 101, 3, 100)
    assert status.container_known(facts(s)) == "RUNNING"
    assert s.progress.stop is None
    assert not facts(s, "late").ended


def test_an_essential_container_runs_again_and_its_task_goes_on() -> None:
    s = restarting()
    s.result(RestartContainer("web"), Done())
    s.sees(web=UP)
    assert s.turn(at=102) == []
    assert (facts(s).started_at, facts(s).up_at) == (0.0, 100)
    assert s.progress.stop is None
    assert [each.what for each in s.progress.timeline[-2:]] == ["restarting", "restarted"]


def test_the_exit_that_was_answered_is_no_new_one() -> None:
    s = restarting()
    for at in (101, 200):
        assert s.turn(at=at) == [RestartContainer("web")]
        last = facts(s).restart
        assert last is not None
        assert last.count == 1


@pytest.mark.parametrize("seen", [HALF_MADE, MADE])
def test_what_a_crash_left_half_done_is_done(seen: ContainerSeen) -> None:
    s = restarting()
    s.sees(web=seen)
    assert s.turn(at=130) == [RestartContainer("web")]


def test_a_run_that_ended_before_anybody_saw_it_is_judged_by_its_own_time() -> None:
    s = restarting()
    s.sees(web=exited(4, 130))
    s.turn(at=130)
    assert (facts(s).ended, facts(s).exit_code, facts(s).finished_at) == (True, 4, 130)
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.ESSENTIAL_EXITED


def test_a_second_exit_after_the_period_is_answered_as_the_first() -> None:
    s = restarting()
    s.sees(web=exited(4, 160))
    assert s.turn(at=161) == [RestartContainer("web")]
    assert facts(s).restart == Restart(2, 161, 4, 160)


def test_nothing_runs_again_in_a_task_that_is_to_stop() -> None:
    s = script()
    s.asked_to_stop()
    s.sees(web=exited(3, 100))
    assert s.turn(at=100) == [DeleteContainer("web")]
    assert (facts(s).exit_code, facts(s).restart) == (3, None)


def test_an_end_in_the_same_look_that_stops_the_task_keeps_all_from_running_again() -> None:
    s = script(web(), container("main"))
    s.sees(web=exited(3, 100), main=exited(0, 100))
    s.turn(at=100)
    assert (facts(s).exit_code, facts(s).restart) == (3, None)


@pytest.mark.parametrize("seen", [exited(3, 100), HALF_MADE, MADE])
def test_a_stop_before_the_attempt_ends_it_with_its_last_exit(seen: ContainerSeen) -> None:
    s = restarting()
    s.asked_to_stop()
    s.sees(web=seen)
    assert s.turn(at=101) == [DeleteContainer("web")]
    assert (facts(s).exit_code, facts(s).finished_at) == (3, 100)


def test_a_stop_during_the_attempt_waits_for_it_and_stops_what_it_made() -> None:
    s = restarting()
    s.asked_to_stop()
    s.sees(replace(s.view, containers={"web": Unknown("being changed")}))
    assert s.turn(at=101) == []
    s.sees(web=UP)
    assert s.turn(at=102) == [Signal("web", 15)]


def test_an_attempt_that_fails_ends_it_with_its_last_exit_and_the_failures_reason() -> None:
    s = restarting()
    s.result(RestartContainer("web"), Never("CannotStartContainerError", "no such file"))
    s.turn(at=101)
    assert (facts(s).exit_code, facts(s).finished_at) == (3, 100)
    assert facts(s).reason == "CannotStartContainerError: no such file"
    assert [each.what for each in s.progress.timeline if each.container == "web"] == [
        "restarting", "exited", "gave up",
    ]  # fmt: skip


def test_a_container_that_is_gone_can_not_run_again() -> None:
    s = restarting()
    s.sees(replace(s.view, containers={"web": Absent()}))
    s.turn(at=101)
    assert (facts(s).exit_code, facts(s).reason) == (3, VANISHED)


def test_a_process_that_is_gone_without_an_exit_is_not_run_again() -> None:
    s = script()
    s.sees(web=HALF_MADE)
    s.turn(at=1000)
    assert (facts(s).exit_code, facts(s).reason) == (None, VANISHED)


def test_without_its_network_it_can_not_run_again() -> None:
    s = restarting()
    s.view = replace(s.view, networks={"web": Absent()})
    s.turn(at=101)
    assert facts(s).reason.startswith("ResourceInitializationError: the network namespace")
    assert facts(s).exit_code == 3


def test_its_metadata_is_served_again_meanwhile() -> None:
    s = restarting()
    s.view = replace(s.view, networks={"web": Seen(NetworkSeen(served=False))})
    assert s.turn(at=101) == [ServeMetadata("web"), RestartContainer("web")]


def test_for_want_of_memory_it_runs_again_and_the_reason_stays_if_it_can_not() -> None:
    s = script()
    killed = replace(exited(137, 100), out_of_memory=True)
    s.sees(web=killed)
    assert s.turn(at=100) == [RestartContainer("web")]
    s.asked_to_stop()
    s.turn(at=101)
    assert (facts(s).exit_code, facts(s).reason) == (137, OUT_OF_MEMORY)


def test_its_health_is_to_be_found_anew_and_an_old_probe_says_nothing() -> None:
    check = {"command": ["CMD", "true"], "interval": 30}
    s = script(web(healthCheck=check))
    s.now = 30.0
    s.result(Probe("web"), Done(Probed(0, "")))
    s.turn(at=90)
    assert facts(s).health.status is Health.HEALTHY
    s.sees(web=exited(3, 100))
    s.turn(at=100)
    assert facts(s).health.status is Health.UNKNOWN
    s.sees(web=UP)
    assert Probe("web") not in s.turn(at=110)
    assert s.wakes_at == 140, "an interval after it was up again"
    old = News(Probe("web"), 99, 111, Done(Probed(0, "")))
    progress = learn(s.intent, s.progress, s.view, (old,), 111, Rules())
    assert progress.containers["web"].health.status is Health.UNKNOWN


def test_provisions_are_there_again_first() -> None:
    s = script(web(secrets=[{"name": "KEY", "valueFrom": "arn"}]))
    lost: View = replace(s.view, provisions={Provision.SECRETS: Absent()})
    s.sees(lost)
    assert s.turn(at=99) == [Provide(Provision.SECRETS)], "another run may come at any time"
    ended = view(s.intent.task, {"web": exited(3, 100)})
    s.sees(replace(ended, provisions={Provision.SECRETS: Absent()}))
    assert s.turn(at=100) == [Provide(Provision.SECRETS)]
    s.sees(replace(ended, provisions={Provision.SECRETS: Seen(None)}))
    assert s.turn(at=101) == [RestartContainer("web")]
    assert provisions.ready(s.intent.task, "web", s.view)


SECRET = {"secrets": [{"name": "KEY", "valueFrom": "arn"}]}


@pytest.mark.parametrize(("whose", "ends"), [("web", True), ("other", False)])
def test_provisions_that_can_not_be_had_again_end_who_needs_them(whose: str, ends: bool) -> None:
    probed = {"healthCheck": {"command": ["CMD", "true"], "interval": 300}}
    also: dict[str, Any] = {"web": {}, "other": probed, whose: {**SECRET, **probed}}
    s = script(web(**also["web"]), container("other", **also["other"]))
    s.sees(web=exited(3, 100), other=UP)
    s.view = replace(s.view, provisions={Provision.SECRETS: Absent()})
    assert Provide(Provision.SECRETS) in s.turn(at=100)
    s.result(Provide(Provision.SECRETS), Never("ResourceInitializationError", "no such secret"))
    assert (RestartContainer("web") in s.turn(at=101)) is not ends
    assert facts(s).ended is ends
    if ends:
        assert facts(s).reason == "ResourceInitializationError: no such secret"
        assert facts(s).exit_code == 3


def test_of_many_restarts_the_timeline_has_the_first_and_the_doublings() -> None:
    s = script()
    for number in range(1, 4 * FEW + 1):
        s.sees(web=exited(3, number * 100.0))
        s.turn(at=number * 100.0)
        s.sees(web=UP)
        s.turn(at=number * 100.0 + 1)
    told = [each for each in s.progress.timeline if each.what == "restarting"]
    assert len(told) == FEW + 2
    assert restart.count(web(), facts(s)) == 4 * FEW


def test_the_count_is_shown_with_a_policy_only() -> None:
    ran = ContainerProgress(restart=Restart(2, 1, 1))
    assert restart.count(web(), ran) == 2
    assert restart.count(web(), ContainerProgress()) == 0
    assert restart.count(container("web"), ContainerProgress()) is None
    assert restart.count(web(restartPolicy={"enabled": False}), ran) is None


def test_progress_of_older_agents_is_read_and_restarts_are_kept() -> None:
    adapter = TypeAdapter(Progress)
    s = restarting()
    assert adapter.validate_json(adapter.dump_json(s.progress)) == s.progress
    old = ContainerProgress(started_at=1.0)
    assert old.restart is None
    assert old.up_at == 1.0
