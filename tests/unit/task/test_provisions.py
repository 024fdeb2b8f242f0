"""What a task needs as a whole: when it is provided, what waits for it, when it is taken back."""

from dataclasses import replace
from typing import Any

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
    Probe,
    Provide,
    ReleaseTask,
    StartContainer,
    TakeBack,
)
from agent.task.model import Intent, StopCode, Task, first_progress
from agent.task.records import Provision
from agent.task.stopping import Rules
from agent.task.view import Absent, Look, NetworkSeen, Seen, Unknown, View
from tests.script import Script
from tests.worlds import ATTACHED, IMAGE, MADE, UP, container, exited, running, task, view

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


def test_a_task_whose_containers_have_started_does_without() -> None:
    s = up(web(), Absent())
    assert s.turn() == []


def up(made: Task, look: Look[None], *, rules: Rules | None = None) -> Script:
    """A task that runs, its secrets being seen so."""
    seen = {each.name: UP for each in made.containers}
    s = Script(made, seen=seen, progress=running(Intent(made)), rules=rules)
    s.sees(replace(view(made, seen), provisions={SECRETS: look}))
    return s


def test_secrets_are_forgotten_when_nobody_will_need_them() -> None:
    assert up(web(), Seen(None)).turn() == [TakeBack(SECRETS)]
    assert up(web(), Unknown("being changed")).turn() == []


def test_a_container_that_waits_to_start_needs_them_still() -> None:
    made = web()
    progress = first_progress(made).having("web", image=IMAGE, created_at=0.0)
    s = Script(made, progress=progress.having_network("web", attachment=ATTACHED))
    s.sees(replace(view(made, {"web": MADE}), provisions={SECRETS: Absent()}))
    assert s.turn() == [Provide(SECRETS)]
    s.sees(replace(view(made, {"web": MADE}), provisions={SECRETS: Seen(None)}))
    assert s.turn() == [StartContainer("web")]


AGAIN: dict[str, Any] = {"restartPolicy": {"enabled": True}}
PROBED: dict[str, Any] = {"healthCheck": {"command": ["CMD", "true"], "interval": 30}}


def with_secret(**fields: Any) -> Task:
    secrets = [{"name": "KEY", "valueFrom": "key"}]
    return task(container("web", secrets=secrets, **fields), container("log", **PROBED))


@pytest.mark.parametrize("fields", [AGAIN, PROBED])
def test_they_stay_where_a_container_may_be_started_again_or_is_probed(
    fields: dict[str, Any],
) -> None:
    assert up(with_secret(**fields), Seen(None)).turn() == []
    assert up(with_secret(**fields), Absent()).turn() == [Provide(SECRETS)]


def test_what_others_need_is_no_reason_to_keep_them() -> None:
    policy = {"restartPolicy": {"enabled": False}}
    assert up(with_secret(**policy), Seen(None)).turn() == [TakeBack(SECRETS)]


def test_a_probe_waits_for_them_and_others_dont() -> None:
    s = up(with_secret(**PROBED), Absent())
    assert s.turn(at=30.0) == [Provide(SECRETS), Probe("log")]
    s.sees(replace(s.view, provisions={SECRETS: Seen(None)}))
    assert Probe("web") in s.turn(at=31.0)


def test_a_task_that_runs_is_never_given_up_for_them() -> None:
    s = up(with_secret(**AGAIN), Absent())
    s.turn()
    s.result(Provide(SECRETS), Never("ResourceInitializationError", "no such secret"))
    assert s.turn() == []
    assert s.progress.stop is None
    assert s.turn(at=2.0) == [Provide(SECRETS)]
    for at in (100.0, 200.0):
        s.result(Provide(SECRETS), Again("slow"))
        s.turn(at=at)
        assert s.turn(at=at + 50.0) == [Provide(SECRETS), Probe("log")]
    assert s.progress.stop is None


def test_what_goes_on_failing_ends_a_task_that_has_not_started() -> None:
    s = Script(web(), rules=Rules(provision_timeout_s=20.0))
    s.turn()
    tries = 0
    while s.progress.stop is None:
        s.result(Provide(SECRETS), Again("the store is away"))
        s.turn()
        assert s.wakes_at is not None
        tries += 1
        s.turn(at=s.wakes_at)
    assert (s.now, tries) == (31.5, 6)
    why = "ResourceInitializationError: the store is away (tried for 20 s)"
    assert s.progress.stop.reason == why
    assert s.progress.stop.code is StopCode.FAILED_TO_START


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


def test_a_container_without_secrets_does_not_wait_for_those_of_others() -> None:
    needs = [{"containerName": "web", "condition": "START"}]
    secret = [{"name": "KEY", "valueFrom": "key"}]
    made = task(container("web", secrets=secret), container("side", dependsOn=needs))
    progress = running(Intent(made), "web").having("side", image=IMAGE)
    s = Script(made, progress=progress.having_network("side", attachment=ATTACHED))
    shown = view(made, {"web": UP})
    networks = {each: Seen(NetworkSeen(served=True)) for each in ("web", "side")}
    s.sees(replace(shown, networks=networks, provisions={SECRETS: Absent()}))
    assert s.turn() == [CreateContainer("side")]
