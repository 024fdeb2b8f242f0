"""Settings for which the ECS agent takes another value than the one that was asked for.

As in ``values`` each function takes the text, and raises ValueError for what is no value at all.
For a value that the ECS agent doesn't take it gives the one that is taken instead, as Adjusted: an
agent starts with that, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.config.shown import lasting
from agent.config.values import duration

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Adjusted(Generic[_T]):
    """A value in the place of the one asked for; ``why`` ends the sentence as an error does."""

    value: _T
    why: str


def at_least(
    lowest: float, otherwise: float, *, unset: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bound: below ``lowest`` it is ``otherwise``; 0 is unset."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if seconds == 0:
            return unset
        if seconds >= lowest:
            return seconds
        return Adjusted(otherwise, f"is below {lasting(lowest)}: it is {lasting(otherwise)}")

    return parse


def between(
    lowest: float, highest: float, *, unset: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bounds: beyond one of them it is that one; 0 is unset."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if seconds == 0:
            return unset
        bound = min(max(seconds, lowest), highest)
        if bound == seconds:
            return seconds
        return Adjusted(
            bound,
            f"is not between {lasting(lowest)} and {lasting(highest)}: it is {lasting(bound)}",
        )

    return parse


def within(
    lowest: float, highest: float, *, otherwise: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bounds: beyond one of them, as unset, it is ``otherwise``."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if lowest <= seconds <= highest:
            return seconds
        if seconds == 0:
            return otherwise
        return Adjusted(
            otherwise,
            f"is not between {lasting(lowest)} and {lasting(highest)}: it is {lasting(otherwise)}",
        )

    return parse


def rate(
    per_second: float, burst: int
) -> Callable[[str], tuple[float, int] | Adjusted[tuple[float, int]]]:
    """``RATE,BURST``, both whole numbers; these defaults where one of them is not positive."""

    def parse(text: str) -> tuple[float, int] | Adjusted[tuple[float, int]]:
        found = re.fullmatch(r"(-?[0-9]{1,9}),(-?[0-9]{1,9})", text.replace(" ", ""))
        if found is None:
            raise ValueError("must be requests per second and a burst, such as 40,60")
        asked = float(found[1]), int(found[2])
        if min(asked) > 0:
            return asked
        why = f"is not positive: it is {per_second:g},{burst}"
        return Adjusted((per_second, burst), why)

    return parse


def count_or(otherwise: int) -> Callable[[str], int | Adjusted[int]]:
    """A whole number with the ECS agent's bound: below 1 it is ``otherwise``."""

    def parse(text: str) -> int | Adjusted[int]:
        if re.fullmatch("-?[0-9]{1,9}", text.strip()) is None:
            raise ValueError("must be a whole number")
        if int(text) >= 1:
            return int(text)
        return Adjusted(otherwise, f"is less than 1: it is {otherwise}")

    return parse


def count_within(lowest: int, highest: int) -> Callable[[str], int | Adjusted[None]]:
    """A whole number with the ECS agent's bounds: beyond one of them it is as if not set."""

    def parse(text: str) -> int | Adjusted[None]:
        if re.fullmatch("-?[0-9]{1,18}", text.strip()) is None:
            raise ValueError("must be a whole number")
        if lowest <= int(text) <= highest:
            return int(text)
        return Adjusted(None, f"is not between {lowest} and {highest}: it is as if not set")

    return parse


def pull_behavior(text: str) -> str | Adjusted[str]:
    """How eagerly images are pulled. As in the ECS agent anything unknown is the default."""
    known = ("default", "always", "once", "prefer-cached")
    if text in known:
        return text
    return Adjusted("default", f"is none of {', '.join(known)}: it is default")
