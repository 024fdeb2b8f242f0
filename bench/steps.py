"""Where the time goes: the steps of tasks' timelines, summed up. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.report import table

Timeline = tuple[float, Sequence[Mapping[str, Any]]]
"""When a task was accepted, and its steps as WatchTask gives them."""


def steps_table(timelines: Sequence[Timeline]) -> str:
    """For each step, in its usual order: when it was done and how long it took, medians in ms."""
    done: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    for accepted, steps in timelines:
        for step in steps:
            done.setdefault(step["what"], []).append((step["at"] - accepted) * 1000)
            if step["took_s"] is not None:
                took.setdefault(step["what"], []).append(step["took_s"] * 1000)
    rows = [
        (what, f"{statistics.median(times):.1f}", _median(took.get(what, ())))
        for what, times in sorted(done.items(), key=lambda item: statistics.median(item[1]))
    ]
    return table(("step (hostler bridge)", "done at, ms", "took, ms"), rows)


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f}" if values else ""
