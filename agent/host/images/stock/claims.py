"""What of the images is in use by work that is under way, so that clean-up leaves it alone.

Whoever makes or looks for an image claims what it builds on: names, digests of manifests and of
blobs, snapshots. An image is removed only while no part of it is claimed, and what is being removed
can't be claimed before it is gone. Both sides hold for the parts only, so that neither a long pull
nor a long removal holds up the rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager


def snapshot(chain: str) -> str:
    """A snapshot as a part; a layer that is not compressed may have the same digest."""
    return f"snapshot {chain}"


class Claimed(Exception):
    """A part of the image is in use by work that is under way."""


class Claims:
    """The claims on all images of one containerd namespace."""

    def __init__(self) -> None:
        self._claimed: Counter[str] = Counter()
        self._going: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def on(self, *parts: str) -> AsyncIterator[None]:
        """The parts, if they are there by then, stay until left. Waits while they are removed."""
        while going := next((self._going[each] for each in parts if each in self._going), None):
            await going.wait()
        self._claimed.update(parts)
        try:
            yield
        finally:
            self._claimed -= Counter(parts)  # keeps no zeros

    @contextmanager
    def removing(self, parts: Collection[str]) -> Iterator[None]:
        """Nobody claims any of the parts until left. Raises Claimed if somebody has."""
        if any(self._claimed[each] or each in self._going for each in parts):
            raise Claimed
        gone = asyncio.Event()
        self._going |= dict.fromkeys(parts, gone)
        try:
            yield
        finally:
            for each in parts:
                del self._going[each]
            gone.set()
