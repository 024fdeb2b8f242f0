"""The lives of ``tests.lives`` can fail: a plan with one rule missing is found out, and how."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from agent.task import order, plan, provisions, restart, runs, stopping, tidying
from agent.task.actions import ReleaseTask
from agent.task.model import Progress
from agent.task.view import Look, View
from tests.lives.host import Harm
from tests.lives.machine import Lives

LIVES = settings(
    max_examples=2000,
    stateful_step_count=30,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

exited = runs._exited


def wrong_code(progress: Progress, name: str, *rest: Any) -> Progress:
    """The end of a container with a code that it didn't have."""
    return exited(progress, name, replace(rest[0], exit_code=7), rest[1])


def task_alone(view: View) -> tuple[tuple[Look[None], ReleaseTask]]:
    """What a task has as a whole, without what must go before its directory."""
    return ((view.task, ReleaseTask()),)


MUTATIONS: tuple[tuple[object, str, Callable[..., object], str], ...] = (
    (order, "may_start", lambda *_: order.Ready(), "begins (though|before)"),
    (order, "may_stop", lambda *_: True, "is stopped before"),
    (stopping, "kill_at", lambda _, sent_at, __: sent_at + 1, "killed too early"),
    (restart, "answers", lambda *_: True, "has no restart policy|is to run again"),
    (restart, "answers", lambda *_: False, "should run again"),
    (provisions, "ready", lambda *_: True, "without .*(SECRETS|VOLUMES|NAMESPACES)"),
    (plan, "_admit", lambda turn, view, now: turn, "nothing will ever wake it"),
    (tidying, "_whole", task_alone, "closed while something is left|released too early"),
    (tidying, "_gone", lambda progress, _: set(progress.containers), "is taken from under|closed"),
    (plan, "_is_due", lambda *_: False, "never (came up|closed)"),
    (runs, "_missed", lambda progress, *_: progress, "never closed|nothing will ever wake"),
    (runs, "_exited", wrong_code, "ended with|the exit code of|asked to end twice"),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each[1])
def test_a_missing_rule_is_found(
    mutation: tuple[object, str, Callable[..., object], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, wrong, found = mutation
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(Harm, match=found):
        run_state_machine_as_test(Lives, settings=LIVES)
