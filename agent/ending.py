"""How an agent is asked to end, and what becomes of it then."""

from __future__ import annotations

import asyncio
import signal
from enum import Enum


class Ending(Enum):
    """What becomes of the agent once it has ended."""

    EXIT = "exit"
    SUCCESSOR = "successor"
    """Another one is executed in its place."""


class Stopping:
    """The signals that end an agent. ``how`` is None until one has come."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.how: Ending | None = None

    def listen(self) -> None:
        """SIGTERM and SIGINT end it, SIGUSR2 makes room for its successor."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask, Ending.EXIT)

        def ask_for_successor(*_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._ask, Ending.SUCCESSOR)

        # A signal that the loop handles kills the process from the moment the loop is closed, and
        # there is a moment between that and the successor.
        signal.signal(signal.SIGUSR2, ask_for_successor)

    async def asked(self) -> None:
        """Returns once such a signal has come."""
        await self._asked.wait()

    def _ask(self, how: Ending) -> None:
        if self.how is not Ending.EXIT:  # that is meant for all of it
            self.how = how
        self._asked.set()
