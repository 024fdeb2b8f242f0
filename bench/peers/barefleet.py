"""Many containers through the bare client, as many at a time as serves it best."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bench.peers.bare import Bare

AT_ONCE = 16
"""More is no faster on any machine tried: process starts are what costs."""


class BareFleet:
    name = "bare gRPC, 16 at a time"

    def __init__(self, bare: Bare) -> None:
        self.accounts = bare.accounts
        self._bare = bare
        self._names: list[str] = []

    async def start(self, count: int) -> None:
        self._names = [f"fleet{number}" for number in range(count)]
        await each_of(self._names, self._bare.start)

    async def stop(self) -> None:
        await each_of(self._names, self._end)

    async def _end(self, name: str) -> None:
        await self._bare.stop(name)
        await self._bare.remove(name)


async def each_of(names: list[str], work: Callable[[str], Awaitable[None]]) -> None:
    """``work`` was done for all names, for AT_ONCE at a time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with limit:
            await work(name)

    await asyncio.gather(*(one(name) for name in names))
