"""The agent's look at itself, for whoever asks whether it is well (``metadata.introspection``).

That it answers shows that its loop turns. Beyond that it needs containerd, and a store that takes
what must not be lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError
from agent.engine.fleet import Fleet
from agent.engine.store import Store, StoreError
from metadata.introspection.health import Check

FRESH_S = 2.0
"""A look is as good as new for so long, however many ask."""
PATIENCE_S = 2.0
"""What takes longer to answer is not well."""


@dataclass(slots=True)
class Checkup:
    """``metadata.introspection.health.Checkup``. ``clock`` gives seconds that never go back."""

    client: Containerd
    store: Store
    fleet: Fleet
    clock: Callable[[], float] = time.monotonic
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looked: tuple[float, tuple[Check, ...]] | None = None

    @property
    def failures(self) -> int:
        """How often the barrier around tasks has held."""
        return self.fleet.failures

    async def checks(self) -> tuple[Check, ...]:
        """One look for all who ask at about the same time."""
        async with self._looking:
            if self._looked is None or self.clock() >= self._looked[0] + FRESH_S:
                found = await asyncio.gather(
                    _check("containerd", self.client.version(timeout=PATIENCE_S)),
                    _check("store", self.store.check()),
                )
                self._looked = self.clock(), tuple(found)
            return self._looked[1]


async def _check(name: str, question: Awaitable[object]) -> Check:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await question
    except TimeoutError:
        return Check(name, f"no answer within {PATIENCE_S:.0f} s")
    except (ContainerdError, StoreError) as error:
        return Check(name, str(error))
    return Check(name)
