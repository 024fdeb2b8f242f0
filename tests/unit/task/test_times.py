"""Times of a progress when the clock was set."""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from agent.task.model import Progress, Stop, StopCode, first_progress
from agent.task.records import Held, Restart, Step
from agent.task.times import moved, none_to_come
from tests.worlds import container, task

HOUR = 3600.0


def progress() -> Progress:
    fresh = first_progress(task(container("app")))
    fresh = fresh.having("app", started_at=100.0, stop_sent_at=160.0, exit_code=3)
    held = {"container/app": Held(until=170.0, tries=2, why="busy", since=165.0)}
    stop = Stop(StopCode.USER, "asked", 160.0)
    return dataclasses.replace(
        fresh, held=held, stop=stop, timeline=(Step(100.0, "up", took_s=2.0),)
    )


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_every_time_moves_and_no_duration(by: float) -> None:
    told = moved(progress(), by)
    app = told.containers["app"]
    assert (app.started_at, app.stop_sent_at, app.exit_code) == (100.0 + by, 160.0 + by, 3)
    assert app.kill_sent_at is None
    assert told.held["container/app"] == Held(170.0 + by, tries=2, why="busy", since=165.0 + by)
    assert told.stop == Stop(StopCode.USER, "asked", 160.0 + by)
    assert told.timeline == (Step(100.0 + by, "up", took_s=2.0),)
    assert moved(told, -by) == progress()


def test_without_a_step_it_is_the_same() -> None:
    assert moved(progress(), 0.0) is not None
    assert moved(progress(), 0.0) == progress()


def test_far_times_to_come_are_now_and_near_ones_stay() -> None:
    assert none_to_come(progress(), 160.0) == progress()
    told = none_to_come(progress(), 100.0 - HOUR)
    assert told.containers["app"].stop_sent_at == 100.0 - HOUR
    assert told.timeline[0].took_s == 2.0


def floats(cls: Any, seen: set[Any]) -> set[str]:
    """The fields of all records below ``cls`` that are floats, as ``Class.field``."""
    if get_origin(cls) is not None or isinstance(cls, UnionType):
        return {each for argument in get_args(cls) for each in floats(argument, seen)}
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or cls in seen:
        return set()
    seen.add(cls)
    found = set()
    for name, hint in get_type_hints(cls).items():
        if hint is float or float in get_args(hint):
            found.add(f"{cls.__name__}.{name}")
        found |= floats(hint, seen)
    return found


def test_a_float_is_a_time_or_says_that_it_is_not() -> None:
    """By its name: who adds one decides whether a clock that is set has to do with it."""
    names = {each.partition(".")[2] for each in floats(Progress, set())}
    known = {"at", "since", "until"}
    assert {"started_at", "took_s", "since"} <= names
    assert all(each in known or each.endswith(("_at", "_s")) for each in names), names


def test_an_exit_that_was_answered_is_known_again() -> None:
    last = Restart(count=1, at=100.0, exit_code=1, exited_at=99.5, reason="")
    restarted = progress().having("app", restart=last)
    told = moved(restarted, HOUR).containers["app"].restart
    assert told == dataclasses.replace(last, at=100.0 + HOUR)
