"""What many runs come to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Minimum, quartiles and median of some values, in their unit."""

    least: float
    p25: float
    median: float
    p75: float


def summary(values: Sequence[float]) -> Summary:
    """Raises ``statistics.StatisticsError`` when there are none."""
    if len(values) < 2:
        only = statistics.median(values)
        return Summary(only, only, only, only)
    p25, median, p75 = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(min(values), p25, median, p75)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round, so that what slowed both down cancels out.

    Raises ``ValueError`` unless both took part in the same rounds.
    """
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
