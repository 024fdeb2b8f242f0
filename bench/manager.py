"""What a service manager hears from the agent (sd_notify(3)): when it is ready.

It keeps no sockets for the next agent, so that one opens all of them anew: the dearest start.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE_S = 60.0


class Manager:
    """Listens at ``address``, which is for the agent's environment. Needs a running loop."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.bind(str(address))
        self._ready: asyncio.Future[float] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._hear)

    def expect(self) -> asyncio.Future[float]:
        """When the next ``READY=1`` came, on the monotonic clock, once it has come."""
        self._ready = self._loop.create_future()
        return self._ready

    def close(self) -> None:
        """Listens no more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.address.unlink()

    def _hear(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 8)
        for each in descriptors:
            os.close(each)
        ready = b"READY=1" in message.splitlines()
        if ready and self._ready is not None and not self._ready.done():
            self._ready.set_result(time.monotonic())


@contextmanager
def manager(address: Path) -> Iterator[Manager]:
    """One that listens until left."""
    opened = Manager(address)
    try:
        yield opened
    finally:
        opened.close()
