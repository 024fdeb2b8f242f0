"""Tests of what is told of the host's clock: read from the kernel, once a minute, and shown."""

import time

from metadata.source import Instant
from metadata.task import clock, render
from metadata.task.clock import ClockFacts, HostClock
from tests.unit.metadata.facts import FULL_TASK, MOMENT, SECOND, at


def test_the_kernel_tells_of_the_clock() -> None:
    """The bound is 16 s where nothing keeps the clock right."""
    facts = clock.read(time.time_ns())
    assert facts is not None
    assert 0 <= facts.error_bound_ms <= 16_000


def test_it_is_asked_once_a_minute_and_after_a_jump_back() -> None:
    asked: list[int] = []

    def ask(now_ns: int) -> ClockFacts:
        asked.append(now_ns)
        return ClockFacts(Instant(now_ns), 1.0, synchronized=True)

    now = 1000 * SECOND
    host = HostClock(ask, lambda: now)
    first = host.facts()
    now += 59 * SECOND
    assert host.facts() is first
    now += 2 * SECOND
    assert host.facts() is not first
    now -= 3600 * SECOND
    host.facts()
    assert asked == [1000 * SECOND, 1061 * SECOND, (1061 - 3600) * SECOND]


def test_version_4_shows_it_and_leaves_it_out_when_it_is_not_known() -> None:
    facts = ClockFacts(at(), 0.25, synchronized=True)
    assert render.task_v4(FULL_TASK, facts)["ClockDrift"] == {
        "ClockErrorBound": 0.25,
        "ReferenceTimestamp": "2031-02-03T04:05:06Z",
        "ClockSynchronizationStatus": "SYNCHRONIZED",
    }
    adrift = ClockFacts(Instant(MOMENT), 16_000.0, synchronized=False)
    shown = render.task_v4(FULL_TASK, adrift)["ClockDrift"]
    assert isinstance(shown, dict)
    assert shown["ClockSynchronizationStatus"] == "NOT_SYNCHRONIZED"
    assert "ClockDrift" not in render.task_v4(FULL_TASK, None)
