"""The end of what a probe prints, whatever it prints.

It comes through a pipe with a name, which the shim writes to: in a file it could fill the run
directory, which is memory that the whole host shares. What is read is kept to ``OUTPUT_BYTES``, and
not much is read at a time: who prints without end waits, not the agent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OUTPUT_BYTES = 4096
"""Kept from the end of a probe's output; ECS shows less."""

_PIECE = 64 * 1024
_PAUSE_S = 0.01


@contextmanager
def collected(path: Path) -> Iterator[Output]:
    """Meanwhile what is written to the new pipe at ``path`` is read. Raises OSError."""
    os.mkfifo(path, 0o600)
    with held_open(path) as descriptor:
        output = Output(descriptor)
        try:
            yield output
        finally:
            output.stop()


@contextmanager
def held_open(path: Path) -> Iterator[int]:
    """Meanwhile nobody who opens the pipe waits for somebody at its other end; then it is gone.

    Raises OSError.
    """
    try:
        # Open for writing too, so that it has no end when a writer comes and goes.
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)


class Output:
    """What was read of the pipe ``descriptor``, to its end of that. Reads on until it is stopped.

    Made in the event loop.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._end = b""
        self._pause: asyncio.TimerHandle | None = None
        self._go_on()

    def text(self) -> str:
        """The end of all that was written, as far as that is over."""
        self._read()
        return self._end.decode(errors="replace")

    def stop(self) -> None:
        """Nothing is read any more."""
        self._loop.remove_reader(self._descriptor)
        if self._pause is not None:
            self._pause.cancel()

    def _go_on(self) -> None:
        self._loop.add_reader(self._descriptor, self._take)

    def _take(self) -> None:
        self._read()
        self._loop.remove_reader(self._descriptor)
        self._pause = self._loop.call_later(_PAUSE_S, self._go_on)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._end = (self._end + os.read(self._descriptor, _PIECE))[-OUTPUT_BYTES:]
