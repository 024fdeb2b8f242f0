"""How much passes between two sockets, and how long a round trip takes.

Each end is a thread; both spend their time in the kernel, without Python's lock.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cni.kernel.netns import NamespaceThread

_CHUNK = 1 << 20
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Flow:
    """One measurement: bytes a second, and seconds of a round trip of one byte."""

    rate: float
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class Line:
    """A TCP connection to be: from the namespace ``source`` to ``address``, served in ``target``.

    None is the namespace of the calling thread. ``listens`` differs from the port of ``address``
    where that is a published one.
    """

    threads: NamespaceThread
    source: Path | None
    target: Path | None
    address: tuple[str, int]
    listens: int

    def measure(self, total: int, turns: int) -> Flow:
        """Sends ``total`` bytes, then ``turns`` single bytes there and back."""
        with (
            self.threads.call(self.target, partial(_server, self.listens)) as server,
            self.threads.call(self.source, partial(_client, self.address)) as client,
            server.accept()[0] as served,
        ):
            _prepare(client)
            _prepare(served)
            rate = total / _both(partial(_send, client, total), partial(_take, served, total))
            asked = _both(partial(_ask, client, turns), partial(_echo, served, turns))
        return Flow(rate, asked / turns)


def _server(port: int) -> socket.socket:
    return socket.create_server(("", port))


def _client(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=_DEADLINE_S)


def _prepare(end: socket.socket) -> None:
    end.settimeout(_DEADLINE_S)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _both(near: Callable[[], None], far: Callable[[], None]) -> float:
    other = threading.Thread(target=far)
    other.start()
    began = time.perf_counter()
    near()
    other.join()
    return time.perf_counter() - began


def _send(end: socket.socket, total: int) -> None:
    chunk = bytes(_CHUNK)
    for _ in range(total // _CHUNK):
        end.sendall(chunk)


def _take(end: socket.socket, total: int) -> None:
    buffer = bytearray(_CHUNK)
    left = total
    while left:
        left -= end.recv_into(buffer, min(_CHUNK, left))


def _ask(end: socket.socket, turns: int) -> None:
    for _ in range(turns):
        end.send(b"?")
        end.recv(1)


def _echo(end: socket.socket, turns: int) -> None:
    for _ in range(turns):
        end.send(end.recv(1))
