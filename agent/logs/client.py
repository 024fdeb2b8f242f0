"""One connection to the router: bytes in to requests, replies to bytes out. Used by ``router``."""

import socket
from collections.abc import Iterator
from typing import Any

from agent.logs.protocol import MAX_REPLY, MAX_REQUEST, ProtocolError, decode, encode


class Client:
    """``gone`` is set once the other side has closed."""

    __slots__ = ("_input", "_output", "connection", "gone")

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self.connection = connection
        self.gone = False
        self._input = b""
        self._output = b""

    def requests(self) -> Iterator[dict[str, Any]]:
        """The requests that have arrived. Raises ``ProtocolError``, ``OSError``."""
        try:
            data = self.connection.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        self.gone = not data
        *lines, self._input = (self._input + data).split(b"\n")
        if len(self._input) > MAX_REQUEST:
            raise ProtocolError("a request is too long")
        for line in lines:
            yield decode(line)

    def queue(self, message: dict[str, Any]) -> None:
        """Send it at the next ``flush``."""
        self._output += encode(message)

    def flush(self) -> bool:
        """Send what the socket takes; whether that was all. Raises ``OSError``."""
        if len(self._output) > MAX_REPLY:
            raise BrokenPipeError("the client does not read its replies")
        try:
            while self._output:
                self._output = self._output[self.connection.send(self._output) :]
        except BlockingIOError:
            return False
        return True
