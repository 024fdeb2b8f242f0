"""The plan of a task that has a role: when its credentials are obtained, what waits for them."""

from dataclasses import replace

import pytest

from agent.task.actions import (
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Never,
    ObtainCredentials,
    ObtainImage,
    ReleaseTask,
    Signal,
    StartContainer,
    WithdrawCredentials,
)
from agent.task.images import Obtained
from agent.task.model import Intent, StopCode, Task, first_progress
from agent.task.view import Absent, ContainerSeen, NetworkSeen, Seen, Unknown, View
from tests.script import Script
from tests.worlds import ATTACHED, IMAGE, MADE, ROLE, UP, container, running, task, view

OBTAIN = ObtainCredentials()
WHY = f"unable to get credentials for task role {ROLE}: STS is away"


def web() -> Task:
    return task(container("web"), role=ROLE)


def without(made: Task, seen: ContainerSeen = UP) -> View:
    """As after a restart of the agent: all is there but the credentials."""
    return replace(view(made, {"web": seen}), credentials=Absent())


def started() -> Script:
    made = web()
    return Script(made, seen={"web": UP}, progress=running(Intent(made)))


def about_to_start() -> Script:
    made = web()
    progress = first_progress(made).having("web", image=IMAGE, created_at=0.0)
    s = Script(made, progress=progress.having_network("web", attachment=ATTACHED))
    s.sees(without(made, MADE))
    return s


def test_they_are_obtained_while_the_container_is_made() -> None:
    s = Script(web())
    assert s.turn() == [OBTAIN, ObtainImage("web"), AttachNetwork("web")]
    s.result(ObtainImage("web"), Done(Obtained(IMAGE)))
    s.result(AttachNetwork("web"), Done(ATTACHED))
    networks = {"web": Seen(NetworkSeen(served=True))}
    s.sees(View(Seen(None), networks, {"web": Absent()}, credentials=Unknown("being changed")))
    assert s.turn() == [CreateContainer("web")]


def test_a_container_starts_when_they_are_there() -> None:
    s = about_to_start()
    assert s.turn() == [OBTAIN]
    s.sees(replace(s.view, credentials=Unknown("being changed")))
    assert s.turn() == []
    s.result(OBTAIN, Done())
    s.sees(web=MADE)
    assert s.turn() == [StartContainer("web")]
    assert [each.what for each in s.progress.timeline] == ["accepted", "credentials"]


def test_a_task_without_a_role_waits_for_nothing() -> None:
    s = Script(task(container("web")), seen={"web": MADE})
    s.progress = s.progress.having("web", image=IMAGE)
    s.progress = s.progress.having_network("web", attachment=ATTACHED)
    assert s.turn() == [StartContainer("web")]


def test_the_credentials_of_an_execution_role_are_obtained_too() -> None:
    s = Script(replace(task(container("web")), execution_credentials_id="id"))
    assert OBTAIN in s.turn()


def test_what_can_never_be_had_ends_the_task() -> None:
    s = about_to_start()
    s.turn()
    s.result(OBTAIN, Never("ResourceInitializationError", WHY))
    assert s.turn(at=1) == [DeleteContainer("web")]
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.FAILED_TO_START
    assert s.progress.stop.reason == f"ResourceInitializationError: {WHY}"
    assert s.progress.held == {}, "nobody needs them any more"


def test_what_may_pass_is_tried_for_a_minute() -> None:
    s = about_to_start()
    s.turn()
    tries = 0
    while s.progress.stop is None:
        s.result(OBTAIN, Again(WHY))
        assert s.turn() == []
        assert s.wakes_at is not None
        tries += 1
        wanted = s.turn(at=s.wakes_at)
        assert wanted in ([OBTAIN], [DeleteContainer("web")])
    assert (s.now, tries) == (61.5, 7)
    assert s.progress.stop.reason == f"ResourceInitializationError: {WHY} (tried for 60 s)"
    told = [each.detail for each in s.progress.timeline if each.what == "retrying"]
    assert told == [WHY], "the same reason is told once"
    assert s.progress.started_at is None
    last = [each.what for each in s.progress.timeline if each.at == s.now]
    assert last == ["gave up", "stopping", "stopped"], "it never ran"


def test_a_running_task_gets_them_again_and_is_never_given_up_for_them() -> None:
    s = started()
    s.sees(without(s.intent.task))
    assert s.turn(at=100) == [OBTAIN]
    for result in (Again(WHY), Never("ResourceInitializationError", WHY)):
        s.result(OBTAIN, result)
        assert s.turn() == []
        assert s.wakes_at is not None
        assert s.turn(at=s.wakes_at) == [OBTAIN]
    s.result(OBTAIN, Again(WHY))
    s.turn()
    assert s.turn(at=1000) == [OBTAIN]
    assert s.progress.stop is None
    s.result(OBTAIN, Done())
    s.sees(web=UP)
    assert s.turn() == []


@pytest.mark.parametrize("look", [Unknown("dark"), Seen(None)])
def test_they_are_obtained_only_when_they_are_known_to_be_lacking(
    look: Unknown | Seen[None],
) -> None:
    s = started()
    s.sees(replace(s.view, credentials=look))
    assert s.turn() == []


def test_what_a_stopping_task_does_at_its_end_has_credentials() -> None:
    s = started()
    s.asked_to_stop()
    s.sees(without(s.intent.task))
    assert s.turn() == [OBTAIN, Signal("web", 15)]
    assert s.decision is not None
    assert "credentials" not in s.decision.drop


def test_obtaining_is_dropped_when_nothing_is_to_run() -> None:
    s = about_to_start()
    s.turn()
    s.asked_to_stop()
    s.sees(replace(s.view, credentials=Unknown("being changed")))
    assert s.turn() == [DeleteContainer("web")]
    assert s.decision is not None
    assert "credentials" in s.decision.drop


def test_they_are_withdrawn_when_no_container_is_left() -> None:
    s = Script(web())
    s.asked_to_stop()
    s.sees(View(Absent(), {"web": Absent()}, {"web": Absent()}, credentials=Seen(None)))
    assert s.turn() == [WithdrawCredentials()]
    assert WithdrawCredentials().key not in (s.decision.drop if s.decision else ())
    s.sees(View(Absent(), {"web": Absent()}, {"web": Absent()}, credentials=Unknown("dark")))
    assert s.turn() == []
    assert not s.progress.closed
    s.sees()
    assert s.turn() == []
    assert s.progress.closed


def test_a_task_is_released_last() -> None:
    made = web()
    s = Script(made, progress=running(Intent(made)).having("web", ended=True, finished_at=1.0))
    gone = {"web": Absent()}
    s.sees(View(Seen(None), {"web": Seen(NetworkSeen(served=True))}, gone, credentials=Seen(None)))
    assert s.turn(at=1) == [DetachNetwork("web")]
    s.result(DetachNetwork("web"), Done())
    s.sees(View(Seen(None), {"web": Absent()}, gone, credentials=Seen(None)))
    assert s.turn() == [WithdrawCredentials()]
    s.sees(View(Seen(None), {"web": Absent()}, gone))
    assert s.turn() == [ReleaseTask()]


def test_a_task_that_this_host_has_no_credentials_for_says_so_once() -> None:
    made = replace(web(), credentials_id="")
    s = Script(made)
    assert OBTAIN not in s.turn()
    s.turn(at=1)
    told = [each.detail for each in s.progress.timeline if each.what == "without credentials"]
    assert told == [f"of {ROLE}: there is no roles file (HOSTLER_TASK_ROLES)"]


def test_time_in_which_nobody_tried_counts_for_nothing() -> None:
    s = about_to_start()
    s.turn()
    s.result(OBTAIN, Again(WHY))
    s.turn()
    assert s.turn(at=3600) == [OBTAIN], "the agent was down, or the host asleep"
    s.result(OBTAIN, Again(WHY))
    s.turn()
    assert s.turn(at=3610) == [OBTAIN], "a new minute has begun"
    assert s.progress.stop is None


def test_what_failed_is_tried_again_although_the_clock_is_set_back() -> None:
    s = about_to_start()
    s.turn(at=86400)
    s.result(OBTAIN, Again(WHY))
    assert s.turn() == []
    assert s.turn(at=0) == [OBTAIN]
