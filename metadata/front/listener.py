"""Serves HTTP on sockets that somebody else opened, within bounds, each with a handler of its own.

The agent opens a listening socket inside a task's network namespace; which socket a request comes
in on is what decides whose metadata it may see. All are served from the caller's event loop; the
only tasks are those that aiohttp makes for its connections.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpProcessingError

_BACKLOG = 128
_CLOSE_TIMEOUT_S = 1.0  # longer than any answer takes

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one socket's clients may cost.

    `timeout_s` bounds sending a request, waiting for the next one, and taking an answer in.
    Connections above the limit are closed at once. A header line may have `header_bytes` bytes.
    """

    timeout_s: float = 5.0
    connections: int = 64
    header_bytes: int = 8190
    headers: int = 64


USUAL = Bounds()


class _Misuse(logging.Filter):
    """Drops what aiohttp has to say about broken requests: containers must not fill our log."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


log.addFilter(_Misuse())


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@dataclass(frozen=True, slots=True)
class _Listener:
    sockets: asyncio.Server
    connections: web.Server

    async def close(self) -> None:
        """Stops listening, lets running answers finish, closes what is left."""
        self.sockets.close()
        self.connections.pre_shutdown()
        await self.connections.shutdown(_CLOSE_TIMEOUT_S)


class Listeners:
    """The sockets being served, by a key of the caller's choosing."""

    def __init__(self, bounds: Bounds = USUAL) -> None:
        self._bounds = bounds
        self._listeners: dict[str, _Listener] = {}

    async def serve(self, sock: socket.socket, handler: Handler, key: str) -> None:
        """Answers on the listening TCP socket until `close(key)`.

        Takes the socket over: it is closed with the listener; what is to outlive that must be a
        duplicate of it. Raises ValueError when the key is being served already, and then leaves
        the socket alone.
        """
        if key in self._listeners:
            raise ValueError(f"{key} is served already; close it first")
        # Accepted sockets inherit it; the kernel then ends connections that take no answer in.
        sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._bounds.timeout_s * 1000)
        )
        connections = self._http(handler)

        def connection() -> asyncio.Protocol:
            full = len(connections.connections) >= self._bounds.connections
            return _Refusal() if full else connections()

        # Known before it accepts: a caller cancelled on the way can still close it.
        sockets = await asyncio.get_running_loop().create_server(
            connection, sock=sock, backlog=_BACKLOG, start_serving=False
        )
        self._listeners[key] = _Listener(sockets, connections)
        await sockets.start_serving()

    async def close(self, key: str) -> None:
        """Nothing is served for the key any more; also when nothing was."""
        listener = self._listeners.pop(key, None)
        if listener is not None:
            await listener.close()

    async def close_all(self) -> None:
        """Nothing is served any more."""
        listeners = list(self._listeners.values())
        self._listeners.clear()
        await asyncio.gather(*(listener.close() for listener in listeners))

    def _http(self, handler: Handler) -> web.Server:
        return web.Server(
            handler,
            access_log=None,
            logger=log,
            keepalive_timeout=self._bounds.timeout_s,
            lingering_time=self._bounds.timeout_s,
            max_line_size=self._bounds.header_bytes,
            max_field_size=self._bounds.header_bytes,
            max_headers=self._bounds.headers,
            auto_decompress=False,
            tcp_keepalive=False,
        )
