"""How an agent is asked to end or to start anew, and what becomes of it then.

SIGTERM and SIGINT end it. SIGHUP asks it to start anew, with what is configured and installed by
then (``renewal`` looks at the configuration first), as with other services. Where the agent has a
terminal and loses it, SIGHUP means that instead: nobody is there any more who could end it, so it
ends. Who has started it with SIGHUP ignored, as nohup(1) does, wants neither.
"""

from __future__ import annotations

import asyncio
import os
import signal
from enum import Enum


class Ending(Enum):
    """What becomes of the agent once it has ended."""

    EXIT = "exit"
    SUCCESSOR = "successor"
    """Another one is executed in its place."""


def hold_reloads() -> None:
    """SIGHUP waits for the next ``Stopping`` that listens, also in a program executed meanwhile.

    Without that it would kill a process that is about to listen.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


class Stopping:
    """The signals that end an agent. ``how`` is None until it is settled that it ends."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.how: Ending | None = None

    def listen(self) -> None:
        """From now on the signals are heard. Only in the main thread."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            _let_hangups_through()  # a child that wants to hear them again could not
            return
        had_terminal = _has_terminal()

        def hung_up(*_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._hung_up, had_terminal)

        # A signal that the loop handles kills the process from the moment the loop is closed, and
        # there is a moment between that and the successor.
        signal.signal(signal.SIGHUP, hung_up)
        _let_hangups_through()

    async def asked(self) -> None:
        """Returns at the next request: to start anew, as long as ``how`` is still None."""
        await self._asked.wait()
        self._asked.clear()

    def make_room(self) -> None:
        """It ends for a successor, unless it is to end for good."""
        self.how = self.how or Ending.SUCCESSOR

    def _hung_up(self, had_terminal: bool) -> None:
        if had_terminal and not _has_terminal():
            self._end()
        else:
            self._asked.set()

    def _end(self) -> None:
        self.how = Ending.EXIT  # that is meant for all of it
        self._asked.set()


def _let_hangups_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
