"""What a task needs as a whole: when it is provided, what waits for it, when it is taken back."""

from dataclasses import replace

import pytest

from agent.task import provisions
from agent.task.actions import (
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Never,
    ObtainImage,
    Provide,
    ReleaseTask,
    TakeBack,
)
from agent.task.model import Intent, StopCode, Task, first_progress
from agent.task.records import Provision
from agent.task.view import Absent, Look, NetworkSeen, Seen, Unknown, View
from tests.script import Script
from tests.worlds import ATTACHED, IMAGE, UP, container, exited, running, task, view

SECRETS = Provision.SECRETS


def web() -> Task:
    return task(container("web", secrets=[{"name": "KEY", "valueFrom": "key"}]))


def attached(look: Look[None]) -> View:
    networks = {"web": Seen(NetworkSeen(served=True))}
    return View(Seen(None), networks, {"web": Absent()}, provisions={SECRETS: look})


def about_to_be_made() -> Script:
    made = web()
    progress = first_progress(made).having("web", image=IMAGE)
    return Script(made, progress=progress.having_network("web", attachment=ATTACHED))


def test_a_task_without_any_needs_none() -> None:
    assert provisions.needed(task(container("web"))) == ()


def test_it_is_provided_beside_image_and_network() -> None:
    s = Script(web())
    assert s.turn() == [Provide(SECRETS), ObtainImage("web"), AttachNetwork("web")]


@pytest.mark.parametrize("look", [Absent(), Unknown("being changed")])
def test_a_container_is_not_made_without_it(look: Look[None]) -> None:
    s = about_to_be_made()
    s.sees(attached(look))
    assert CreateContainer("web") not in s.turn()
    s.sees(attached(Seen(None)))
    assert s.turn() == [CreateContainer("web")]


def test_it_is_not_provided_on_a_guess() -> None:
    s = about_to_be_made()
    s.sees(attached(Unknown("dark")))
    assert s.turn() == []


def test_a_task_whose_containers_are_made_does_without() -> None:
    made = web()
    s = Script(made, seen={"web": UP}, progress=running(Intent(made)))
    s.sees(replace(view(made, {"web": UP}), provisions={SECRETS: Absent()}))
    assert s.turn() == []


def test_what_may_pass_is_tried_again() -> None:
    s = Script(web())
    s.turn()
    s.result(Provide(SECRETS), Again("the store is away"))
    assert Provide(SECRETS) not in s.turn()
    assert Provide(SECRETS) in s.turn(at=1.0)


def test_the_task_stops_for_want_of_it() -> None:
    s = Script(web())
    s.turn()
    s.result(Provide(SECRETS), Never("ResourceInitializationError", "no such secret"))
    s.turn()
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.FAILED_TO_START
    assert s.progress.stop.reason == "ResourceInitializationError: no such secret"
    assert s.progress.containers["web"].exit_code is None


def test_it_is_taken_back_after_the_last_container_and_its_network() -> None:
    made = web()
    s = Script(made, progress=running(Intent(made)))
    there = {SECRETS: Seen(None)}
    s.sees(replace(view(made, {"web": exited(0, at=1.0)}), provisions=there))
    assert s.turn(at=1.0) == [DeleteContainer("web")]
    networks = {"web": Seen(NetworkSeen(served=True))}
    s.sees(View(Seen(None), networks, {"web": Absent()}, provisions=there))
    assert s.turn(at=2.0) == [DetachNetwork("web")]
    s.result(DetachNetwork("web"), Done())
    gone = View(Seen(None), {"web": Absent()}, {"web": Absent()}, provisions=there)
    s.sees(gone)
    assert s.turn(at=3.0) == [TakeBack(SECRETS)]
    s.sees(replace(gone, provisions={SECRETS: Unknown("being changed")}))
    assert s.turn(at=4.0) == []
    s.sees(replace(gone, provisions={SECRETS: Absent()}))
    assert s.turn(at=5.0) == [ReleaseTask()]
