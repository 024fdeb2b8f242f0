"""SIGINT, SIGTERM and SIGHUP, counted, for commands that must do something about them.

A signal ends a wait at once and never breaks off anything else, so nothing is lost or shown twice.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


class _Interrupt(KeyboardInterrupt):
    """Ends the wait that is under way."""


class Interrupts:
    """Counts the signals while it is entered, but for ignored ones (nohup). For the main thread."""

    def __init__(self) -> None:
        self._count = 0
        self._taken = 0
        self._waiting = False
        self._before = [signal.getsignal(each) for each in SIGNALS]

    def __enter__(self) -> Interrupts:
        for number, before in zip(SIGNALS, self._before, strict=True):
            if before is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in zip(SIGNALS, self._before, strict=True):
            signal.signal(number, before)

    def take(self) -> int:
        """The number of the next signal that was not taken yet, from 1; 0 if there is none."""
        if self._taken == self._count:
            return 0
        self._taken += 1
        return self._taken

    def wait(self, call: Callable[[], T]) -> T | None:
        """What ``call`` gives, or None as soon as there is a signal to take.

        ``call`` may end at any point, so its effects must not matter.
        """
        try:
            self._waiting = True
            if self._taken < self._count:
                return None
            answer = call()
            self._waiting = False
        except _Interrupt:
            return None
        finally:
            self._waiting = False
        return answer

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._waiting:
            self._waiting = False
            raise _Interrupt
