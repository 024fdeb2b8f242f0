"""A room that is opened a moment later than the doors that lead to it.

After a restart of the agent whoever waits at a socket is let in before all of the agent stands.
"""

import asyncio
from typing import Final

from metadata.front.asking import TEXT, Answer, Asking, Room

_PATIENCE_S = 4.0  # less than a client's usual five seconds
_CLOSED: Final = Answer(b"The agent is still starting: ask again.\n", 503, TEXT)


class Later:
    """`front.asking.Room` that makes everybody wait until it is opened."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._room: Room | None = None

    def open(self, room: Room) -> None:
        """This room answers from now on, also those who wait."""
        self._room = room
        self._opened.set()

    async def answer(self, asking: Asking) -> Answer:
        """The room's answer, or that it is still closed after some seconds."""
        if self._room is None:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._opened.wait()
            except TimeoutError:
                return _CLOSED
        assert self._room is not None
        return await self._room.answer(asking)
