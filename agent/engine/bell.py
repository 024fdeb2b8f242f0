"""The bell that wakes a supervisor, and the clock that it reads.

A ring carries nothing: whoever is woken looks for itself. So lost, doubled and late events do no
harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Clock = Callable[[], float]
"""Gives wall-clock seconds since the epoch."""

RESYNC_S = 300.0
"""Longest time between two looks at a task, in case an event was lost."""

_SHORTEST_S = 0.001
"""Two clocks differ by their rounding; a shorter wait could end before its time and spin."""


class Bell:
    """Rings that come together count once; a ring while nobody waits makes the next wait short."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wakes the waiter now, or at its next wait."""
        self._rung.set()

    async def wait(self, until: float | None, clock: Clock) -> None:
        """Returns at the first ring, at wall-clock time ``until``, or after RESYNC_S."""
        patience = RESYNC_S if until is None else until - clock()
        try:
            async with asyncio.timeout(min(max(patience, _SHORTEST_S), RESYNC_S)):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
