"""Winding one container down: what is done to it in each state it can be in."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL, SIGQUIT, SIGTERM

import pytest

from agent.task.actions import Signal
from agent.task.model import Intent, Progress, StopRequest, first_progress
from agent.task.stopping import KILL_AGAIN_S, Push, Rules, kill_at, push
from agent.task.view import Absent, ContainerSeen, Look, Running, Seen, Unknown
from tests.worlds import IMAGE, MADE, UP, container, exited, running, task

RULES = Rules(stop_timeout_s=30.0)
TASK = task(container("web", stopTimeout=5))
ASKED = Intent(TASK, StopRequest(0.0, "asked"))
FORCED = Intent(TASK, StopRequest(0.0, "asked", force=True))
RUNNING = running(ASKED)
RUNS = Seen(UP)


def pushed(
    look: Look[ContainerSeen] = RUNS,
    progress: Progress = RUNNING,
    *,
    intent: Intent = ASKED,
    now: float = 0.0,
) -> Push:
    return push(intent, progress, "web", look, now, RULES)


def test_nothing_is_done_to_what_can_not_be_seen() -> None:
    assert pushed(Unknown("dark")) == Push()


@pytest.mark.parametrize(
    "look",
    [Absent(), Seen(MADE), Seen(ContainerSeen(Running.UNSTARTED))],
    ids=["absent", "created", "half made"],
)
def test_a_container_that_never_ran_ends_without_a_signal(look: Look[ContainerSeen]) -> None:
    assert pushed(look, first_progress(TASK)) == Push(ended=True)


@pytest.mark.parametrize("look", [Absent(), Seen(exited(0, 1))], ids=["absent", "exited"])
def test_one_that_ran_ends_by_what_is_learned_of_it_not_here(look: Look[ContainerSeen]) -> None:
    assert pushed(look) == Push()


def test_the_stop_signal_comes_first() -> None:
    assert pushed() == Push(Signal("web", SIGTERM))


def test_the_image_may_have_a_stop_signal_of_its_own() -> None:
    image = replace(IMAGE, stop_signal=int(SIGQUIT))
    assert pushed(progress=RUNNING.having("web", image=image)) == Push(Signal("web", SIGQUIT))


def test_the_kill_is_waited_for_and_then_comes() -> None:
    told = RUNNING.having("web", stop_sent_at=2.0)
    assert pushed(progress=told, now=6.9) == Push(wake_at=7.0)
    assert pushed(progress=told, now=7.0) == Push(Signal("web", SIGKILL))


def test_a_kill_that_did_not_work_is_repeated_after_a_while() -> None:
    killed = RUNNING.having("web", stop_sent_at=2.0, kill_sent_at=7.0)
    assert pushed(progress=killed, now=8.0) == Push(wake_at=7.0 + KILL_AGAIN_S)
    assert pushed(progress=killed, now=7.0 + KILL_AGAIN_S) == Push(Signal("web", SIGKILL))


def test_force_kills_at_once() -> None:
    assert pushed(intent=FORCED) == Push(Signal("web", SIGKILL))


def test_force_added_later_does_not_wait_for_the_timeout() -> None:
    told = RUNNING.having("web", stop_sent_at=0.0)
    assert pushed(progress=told, intent=FORCED, now=1.0) == Push(Signal("web", SIGKILL))


def test_a_container_waits_for_what_depends_on_it() -> None:
    needs = [{"containerName": "web", "condition": "START"}]
    made = task(container("web"), container("side", dependsOn=needs))
    intent = Intent(made, StopRequest(0.0, "asked"))
    progress = running(intent)
    assert push(intent, progress, "web", Seen(UP), 0.0, RULES) == Push()
    progress = progress.having("side", ended=True)
    assert push(intent, progress, "web", Seen(UP), 0.0, RULES) == Push(Signal("web", SIGTERM))


@pytest.mark.parametrize(("stop_timeout", "due"), [(None, 130.0), (0, 130.0), (7, 107.0)])
def test_stop_timeout_zero_is_unset(stop_timeout: int | None, due: float) -> None:
    fields = {} if stop_timeout is None else {"stopTimeout": stop_timeout}
    assert kill_at(container("web", **fields), 100.0, RULES) == due
