"""The bell: what wakes a waiter and what doesn't, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import looptime
import pytest

from agent.engine.bell import RESYNC_S, Bell


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


def waited(
    loop: asyncio.AbstractEventLoop, until: float | None, *, rings_at: float | None = None
) -> float:
    """How long a wait took that began at 0, on a bell that is rung at ``rings_at``."""
    bell = Bell()

    async def wait() -> float:
        if rings_at is not None:
            loop.call_later(rings_at, bell.ring)
        await bell.wait(until, loop.time)
        return loop.time()

    return loop.run_until_complete(wait())


def test_a_ring_wakes_at_once(simulated: asyncio.AbstractEventLoop) -> None:
    assert waited(simulated, 100.0, rings_at=2.0) == pytest.approx(2.0)


def test_a_wait_ends_at_its_time(simulated: asyncio.AbstractEventLoop) -> None:
    assert waited(simulated, 7.0) == pytest.approx(7.0)


def test_a_wait_without_a_time_ends_with_a_resync(simulated: asyncio.AbstractEventLoop) -> None:
    assert waited(simulated, None) == pytest.approx(RESYNC_S)


def test_no_wait_is_longer_than_a_resync(simulated: asyncio.AbstractEventLoop) -> None:
    assert waited(simulated, 1e9) == pytest.approx(RESYNC_S)


def test_a_time_that_is_past_still_lets_the_others_run(
    simulated: asyncio.AbstractEventLoop,
) -> None:
    assert 0 < waited(simulated, -5.0) <= 0.002


def test_a_ring_while_nobody_waits_counts_once(simulated: asyncio.AbstractEventLoop) -> None:
    bell = Bell()

    async def wait_twice() -> list[float]:
        ends = []
        bell.ring()
        bell.ring()
        for _ in range(2):
            await bell.wait(50.0, simulated.time)
            ends.append(simulated.time())
        return ends

    assert simulated.run_until_complete(wait_twice()) == pytest.approx([0.0, 50.0])
