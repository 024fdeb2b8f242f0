"""Facts from news and looks: what each result makes of a task's progress."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.task.actions import (
    AcquireInterface,
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Never,
    News,
    ObtainImage,
    Probe,
    Probed,
    ReleaseTask,
    Result,
    Signal,
    StartContainer,
)
from agent.task.learn import learn
from agent.task.model import Intent, Progress, StopCode, StopRequest, first_progress
from agent.task.network import Attachment, PortBinding
from agent.task.records import REASON_LIMIT, Health
from agent.task.runs import give_up
from agent.task.stopping import Rules
from agent.task.view import ContainerSeen, Running, Unknown, View
from tests.worlds import ATTACHED, ENI, UP, container, exited, running, task, view

TASK = task(container("web"), container("side", essential=False))
INTENT = Intent(TASK)
DARK = View(
    Unknown("dark"),
    networks={each.name: Unknown("dark") for each in TASK.containers},
    containers={each.name: Unknown("dark") for each in TASK.containers},
)


def heard(
    action: Action, result: Result, progress: Progress | None = None, *, at: float = 2.0
) -> Progress:
    news = News(action, at - 1.0, at, result)
    return learn(INTENT, progress or first_progress(TASK), DARK, (news,), at, Rules())


def seen(progress: Progress, **containers: ContainerSeen) -> Progress:
    return learn(INTENT, progress, view(TASK, containers), (), 9.0, Rules())


def test_an_attachment_is_kept_until_it_is_detached() -> None:
    attached = heard(AttachNetwork("web"), Done(ATTACHED))
    gone = heard(DetachNetwork("web"), Done(), attached)
    again = heard(AttachNetwork("web"), Done(ATTACHED), gone)
    assert attached.networks["web"].attachment == ATTACHED
    assert [each.networks["web"].detached for each in (attached, gone, again)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("number", [*range(1, 65)])
def test_any_signal_is_noted_with_the_time_of_its_delivery(number: int) -> None:
    facts = heard(Signal("web", number), Done(), running(INTENT)).containers["web"]
    kill = number == SIGKILL
    assert facts.kill_sent_at == (2.0 if kill else None)
    assert facts.stop_sent_at == (None if kill else 2.0)


def test_the_timeline_names_the_signal() -> None:
    said = [
        heard(Signal("web", number), Done()).timeline[-1].detail
        for number in (SIGTERM, 37, SIGKILL)
    ]
    assert said == ["SIGTERM", "signal 37", "SIGKILL"]


def test_what_is_seen_is_learned_though_the_news_got_lost() -> None:
    facts = seen(first_progress(TASK), web=UP).containers["web"]
    assert (facts.created_at, facts.started_at) == (9.0, 9.0)


def test_an_exit_is_learned_with_its_code_and_time() -> None:
    progress = seen(running(INTENT), web=exited(3, at=7.0), side=UP)
    facts = progress.containers["web"]
    assert (facts.ended, facts.exit_code, facts.finished_at) == (True, 3, 7.0)
    assert progress.execution_stopped_at == 7.0
    assert progress.stop is not None
    assert progress.stop.code is StopCode.ESSENTIAL_EXITED


def test_a_stopped_container_without_an_exit_code_is_no_exit() -> None:
    half_known = ContainerSeen(Running.STOPPED)
    assert seen(running(INTENT), web=half_known, side=UP).stop is None


def test_a_process_that_is_gone_without_a_trace_has_vanished() -> None:
    progress = seen(running(INTENT), web=ContainerSeen(Running.UNSTARTED), side=UP)
    assert progress.containers["web"].reason.startswith("ContainerVanishedError: ")
    assert progress.containers["web"].exit_code is None


def test_the_exit_of_a_sidecar_is_no_reason_to_stop() -> None:
    progress = seen(running(INTENT), web=UP, side=exited(1, at=7.0))
    assert progress.stop is None
    assert progress.execution_stopped_at is None


@pytest.mark.parametrize(
    "action",
    [ObtainImage("web"), AttachNetwork("web"), CreateContainer("web"), StartContainer("web")],
)
def test_a_step_up_that_can_not_succeed_ends_the_container_and_the_task(action: Action) -> None:
    progress = heard(action, Never("CannotPullContainerError", "no such image"))
    assert progress.containers["web"].ended
    assert progress.containers["web"].reason == "CannotPullContainerError: no such image"
    assert progress.stop is not None
    assert progress.stop.code is StopCode.FAILED_TO_START
    assert not progress.containers["side"].ended


@pytest.mark.parametrize(
    "action", [ReleaseTask(), DetachNetwork("web"), DeleteContainer("web"), Signal("web", 15)]
)
def test_a_step_down_is_tried_for_ever(action: Action) -> None:
    progress = heard(action, Never("SomeError", "no"), running(INTENT))
    assert progress.held[action.key].until == 2.5
    assert progress.stop is None


def test_each_retry_waits_twice_as_long_up_to_a_limit() -> None:
    progress, waits = first_progress(TASK), []
    for _ in range(9):
        progress = heard(ReleaseTask(), Again("busy"), progress)
        waits.append(progress.held["task"].until - 2.0)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_success_ends_the_holding_back() -> None:
    held = heard(ReleaseTask(), Again("busy"))
    assert heard(ReleaseTask(), Done(), held).held == {}


def test_the_first_cause_to_stop_stays() -> None:
    exit_first = seen(running(INTENT), web=exited(3, at=7.0), side=UP)
    asked = Intent(TASK, StopRequest(8.0, "asked"))
    later = learn(asked, exit_first, DARK, (), 9.0, Rules())
    assert later.stop == exit_first.stop
    asked_first = learn(asked, running(INTENT), DARK, (), 8.0, Rules())
    assert asked_first.stop is not None
    assert (asked_first.stop.code, asked_first.stop.reason, asked_first.stop.at) == (
        StopCode.USER,
        "asked",
        8.0,
    )


def test_the_first_reason_of_a_container_stays_and_is_not_too_long() -> None:
    progress = give_up(first_progress(TASK), "web", "x" * 5000, 1.0)
    assert progress.containers["web"].reason == "x" * REASON_LIMIT
    assert give_up(progress, "web", "other", 2.0) == progress


def test_probes_of_a_container_that_does_not_run_are_not_counted() -> None:
    made = task(container("web", healthCheck={"command": ["CMD", "true"]}))
    news = (News(Probe("web"), 1.0, 2.0, Done(Probed(0, ""))),)
    dark = View(Unknown(""), {"web": Unknown("")}, {"web": Unknown("")})
    fresh = learn(Intent(made), first_progress(made), dark, news, 2.0, Rules())
    assert fresh.containers["web"].health.status is Health.UNKNOWN
    up = learn(Intent(made), running(Intent(made)), dark, news, 2.0, Rules())
    assert up.containers["web"].health.status is Health.HEALTHY


looks = st.lists(
    st.dictionaries(
        st.sampled_from(["web", "side"]),
        st.sampled_from([UP, exited(0, 1), exited(9, 4), ContainerSeen(Running.UNSTARTED)]),
    ),
    max_size=6,
)


@given(looks=looks, exit_code=st.integers(0, 255))
def test_facts_once_known_never_change(
    looks: list[dict[str, ContainerSeen]], exit_code: int
) -> None:
    before = seen(running(INTENT), web=exited(exit_code, at=7.0), side=UP)
    after = before
    for look in looks:
        after = seen(after, **look)
    assert after.containers["web"] == before.containers["web"]
    assert after.stop == before.stop
    assert after.timeline[: len(before.timeline)] == before.timeline
    assert replace(after, timeline=(), containers={}) == replace(before, timeline=(), containers={})


def test_an_interface_is_kept_with_the_time_of_its_acquisition() -> None:
    made = task(container("web"), mode="awsvpc")
    dark = View(Unknown("dark"), {"": Unknown("dark")}, {"web": Unknown("dark")}, Unknown("dark"))
    news = News(AcquireInterface(), 1.0, 2.0, Done(ENI))
    progress = learn(Intent(made), first_progress(made), dark, (news,), 2.5, Rules())
    assert (progress.interface, progress.interface_at) == (ENI, 2.0)
    step = progress.timeline[-1]
    assert (step.what, step.container, step.detail) == (
        "interface",
        "",
        "eni-1 (02:00:00:00:00:07)",
    )


def test_the_timeline_shows_addresses_and_ports() -> None:
    ports = (PortBinding("tcp", 80, 8080), PortBinding("udp", 6000, 7000, count=3))
    shown = [
        heard(AttachNetwork("web"), Done(each)).timeline[-1]
        for each in (replace(ATTACHED, ports=ports), Attachment("awsvpc", ipv6="fd00::7"))
    ]
    assert {each.container for each in shown} == {"web"}
    assert [each.detail for each in shown] == [
        "172.30.0.2 8080->80/tcp 7000->6000/udp (3 ports)",
        "fd00::7",
    ]


def test_a_container_killed_for_want_of_memory_says_so() -> None:
    killed = replace(exited(137, at=7.0), out_of_memory=True)
    facts = seen(running(INTENT), web=killed, side=UP).containers["web"]
    assert facts.exit_code == 137
    assert facts.reason == "OutOfMemoryError: Container killed due to memory usage"


def test_a_container_killed_with_its_pid_namespace_says_so() -> None:
    killed = replace(exited(137, at=7.0), namespace_lost=True)
    facts = seen(running(INTENT), web=killed, side=UP).containers["web"]
    assert facts.exit_code == 137
    assert facts.reason.startswith("PidNamespaceError: the pause process")
