"""Images from different registries don't wait for each other: one that is slow, out of weakness or
on purpose, holds up no transfer and no layer of another's.

What the machine has only once, they share: processors, to check and to unpack with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from agent.host.images.arriving.transfer import Checking, Transfers
from agent.host.images.arriving.unpacking import Unpacker, processors


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Lane:
    """The way of all images from one registry."""

    transfers: Transfers
    unpacker: Unpacker


class Lanes:
    """The lanes that somebody uses. ``parallel``: blobs transferred at once in each; ``limit``:
    bytes of a layer when it is unpacked."""

    def __init__(self, parallel: int, limit: int, clock: Callable[[], float]) -> None:
        self._parallel = parallel
        self._limit = limit
        self._clock = clock
        self._checking = Checking()
        self._processors = processors()
        self._lanes: WeakValueDictionary[str, Lane] = WeakValueDictionary()

    def of(self, registry: str) -> Lane:
        """The lane of that registry, for as long as the caller keeps it."""
        lane = self._lanes.get(registry)
        if lane is None:
            slots = asyncio.Semaphore(self._parallel)
            transfers = Transfers(self._limit, self._clock, slots, self._checking)
            lane = self._lanes[registry] = Lane(transfers, Unpacker(self._processors))
        return lane
