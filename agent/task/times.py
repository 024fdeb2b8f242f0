"""Times in a task's progress when the wall clock was set: they stay as long ago as they were.

So nothing that waits for a time after another is due early or an hour late, and the timeline keeps
its order. A float in a record is a time, unless its name ends with ``_s``: then it is a duration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from agent.task.learn import LONGEST_HOLD_S
from agent.task.model import Progress

T = TypeVar("T")


def moved(progress: Progress, by: float) -> Progress:
    """The same as told by a clock that was set forward by so many seconds since."""
    return _with(progress, lambda at: at + by) if by else progress


def none_to_come(progress: Progress, now: float) -> Progress:
    """The same with now for times to come: they are of a clock that was set back since.

    But for the near ones, at which something is to be tried again.
    """
    return _with(progress, lambda at: at if at <= now + 2 * LONGEST_HOLD_S else now)


def _with(value: T, change: Callable[[float], float]) -> T:
    """``value`` with every time in it changed; itself where there is none."""
    return cast(T, _changed(value, change))


def _changed(value: Any, change: Callable[[float], float]) -> Any:
    if isinstance(value, float):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(each, change) for each in value)
    if isinstance(value, Mapping):
        return {key: _changed(each, change) for key, each in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [each.name for each in fields(value) if not _kept(each.name)]
    return replace(value, **{name: _changed(getattr(value, name), change) for name in names})


def _kept(name: str) -> bool:
    """Durations, and the time by which the runtime's word on an exit is known again."""
    return name.endswith("_s") or name == "exited_at"
