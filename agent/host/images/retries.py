"""Asking a registry again: how often, and after which delays."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from agent.registry.errors import RegistryUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

JITTER = 0.2
"""A delay is longer by up to this part of it, so that many who failed together part."""

LONGEST_TOLD_S = 60.0
"""However long a registry says to wait."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """So many ``tries``; the first delay in seconds grows by ``factor`` up to ``longest_s``."""

    tries: int
    first_s: float
    longest_s: float
    factor: float

    def delays(self) -> Iterator[float]:
        """The delays between the tries, one fewer than these; see ``pause_s``."""
        delay_s = self.first_s
        for _ in range(self.tries - 1):
            yield min(delay_s, self.longest_s)
            delay_s *= self.factor


RESOLVING = Backoff(tries=9, first_s=0.01, longest_s=5.0, factor=3.0)
"""For the digest of a tag, as Amazon's agent has it."""

PULLING = Backoff(tries=5, first_s=1.1, longest_s=5.0, factor=2.0)
"""For the image and each blob of it, as Amazon's agent has it."""


def pause_s(delay_s: float, error: RegistryUnavailable) -> float:
    """How long to wait after ``error``: as the registry says, but ``delay_s`` at least."""
    told_s = min(error.retry_after_s or 0.0, LONGEST_TOLD_S)
    return max(told_s, delay_s) * (1 + JITTER * random.random())  # noqa: S311 - no secret


@dataclass(slots=True)
class Patience:
    """Attempts until one does not raise RegistryUnavailable; ``last`` is the last one raised.

    ``what`` they are for is logged with each failure: nothing else is seen of a registry that is
    waited for. ``worthwhile`` says after a failure whether to go on.
    """

    what: str
    backoff: Backoff
    worthwhile: Callable[[], bool]
    last: RegistryUnavailable | None = None

    async def outcome(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The outcome of the first good attempt; raises that of the last one."""
        for delay_s in self.backoff.delays():
            try:
                return await attempt()
            except RegistryUnavailable as error:
                self.last = error
                if not self.worthwhile():
                    raise
                wait_s = pause_s(delay_s, error)
                log.info("image %s: %s; next try in %.1f s", self.what, error, wait_s)
            await asyncio.sleep(wait_s)
        return await attempt()
