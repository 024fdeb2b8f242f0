"""Whether the wall clock was set, which times that were noted before must be told about."""

from __future__ import annotations

import time

from agent.engine.bell import Clock

LEAST_S = 1.0
"""What two looks at two clocks may differ by, and what no time limit of ours depends on."""


def uptime() -> float:
    """Seconds since the machine was started, its sleep included; nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Setting:
    """Notices that ``wall`` was set, by ``steady``, which never is."""

    def __init__(self, wall: Clock, steady: Clock) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = self._ahead()

    def by(self) -> float:
        """By how many seconds it was set forward since the start or ``told``; 0 if it was not."""
        by = self._ahead() - self._offset
        return by if abs(by) >= LEAST_S else 0.0

    def told(self, by: float) -> None:
        """Nobody needs to hear of these seconds any more."""
        self._offset += by

    def _ahead(self) -> float:
        return self._wall() - self._steady()
