"""Work that several ask for at once and that is done once, with no task of its own.

The first asker does it inside its own call; those who ask meanwhile wait for what comes of it. If
the one who works is cancelled, one of those who wait goes on in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State")
Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class _Flight(Generic[State, Outcome]):
    """``free`` is set while nobody works; ``outcome`` holds what came of the work."""

    members: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    state: list[State] = field(default_factory=list)
    outcome: list[Outcome] = field(default_factory=list)
    error: Exception | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.free.set()

    @property
    def landed(self) -> bool:
        return bool(self.outcome) or self.error is not None


class Flights(Generic[State, Outcome]):
    """Flights by key. ``State`` is what those who work one after the other hand on."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[State, Outcome]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._flights)

    @asynccontextmanager
    async def join(
        self,
        key: Hashable,
        begin: Callable[[], AbstractAsyncContextManager[State]],
        work: Callable[[State], Awaitable[Outcome]],
    ) -> AsyncIterator[Outcome]:
        """What came of the work for ``key``, done by this call or by another one.

        ``begin`` makes the state before the first one works; it ends when the last one who shares
        the outcome has left. Raises what ``begin`` and ``work`` raise, whoever called them.
        """
        flight = self._flights.setdefault(key, _Flight())
        flight.members += 1
        try:
            while not flight.landed:
                if flight.free.is_set():
                    await self._lead(key, flight, begin, work)
                else:
                    await flight.free.wait()
            if flight.error is not None:
                raise flight.error
            yield flight.outcome[0]
        finally:
            flight.members -= 1
            if not flight.members:
                self._forget(key, flight)
                await flight.stack.aclose()

    async def _lead(
        self,
        key: Hashable,
        flight: _Flight[State, Outcome],
        begin: Callable[[], AbstractAsyncContextManager[State]],
        work: Callable[[State], Awaitable[Outcome]],
    ) -> None:
        flight.free.clear()
        try:
            if not flight.state:
                flight.state.append(await flight.stack.enter_async_context(begin()))
            flight.outcome.append(await work(flight.state[0]))
        except Exception as error:
            flight.error = error
            raise
        finally:
            if flight.landed:  # who comes now asks for something new
                self._forget(key, flight)
            flight.free.set()  # the first to wake goes on, if there is something left to do

    def _forget(self, key: Hashable, flight: _Flight[State, Outcome]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
