"""Serves HTTP on sockets that somebody else opened, within bounds, each with a handler of its own.

The agent opens a listening socket inside a task's network namespace; which socket a request comes
in on is what decides whose metadata it may see. All are served from the caller's event loop; the
only tasks are those that aiohttp makes for its connections.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

_BACKLOG = 1024  # who comes while nobody accepts; the kernel takes at most net.core.somaxconn
_OWED_S = 0.5  # for requests on their way when listening ends: who waits at the socket waits for it
_RECEIVED = 16 * 1024
"""Bytes that wait at one connection; the kernel doubles it. All that waits is read, and taken to
pieces, in one go, and meanwhile nobody else is answered."""
_LINES = 1024
"""In what is received in one go: many times what a request has. Chunks of a byte each are lines
too, and take a hundred times as long to be taken to pieces as other bytes."""
_CLOSE_TIMEOUT_S = 1.0  # longer than any answer takes

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one socket's clients may cost.

    `timeout_s` bounds sending a request, waiting for the next one, and taking an answer in.
    A connection above the limit takes the place of the one that has been idle for longest, or else
    of one whose body is still coming in; if all are being answered it is closed at once. A header
    line may have `header_bytes` bytes.
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


class _Connection(web.RequestHandler):
    """A client's connection, which says when it has gone. It is cut when it is costly to read."""

    def __init__(self, manager: web.Server, gone: Callable[["_Connection"], None], **bounds: Any):
        super().__init__(manager, loop=asyncio.get_running_loop(), **bounds)
        self._gone = gone

    def data_received(self, data: bytes) -> None:
        if data.count(b"\n") > _LINES:
            self.force_close()
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._gone(self)

    def handle_error(self, *about: Any) -> web.StreamResponse:
        """What a broken request is told, without the versions of our libraries."""
        answer = super().handle_error(*about)
        answer.headers["Server"] = "hostler"
        return answer


class _Listener:
    """One socket and its connections. An answer is owed to each that is new or has asked."""

    def __init__(self, handler: Handler, bounds: Bounds) -> None:
        self._handler = handler
        self._most = bounds.connections
        self._bounds = _of_http(bounds)
        self._connections = web.Server(self._answer)
        self._sockets: asyncio.Server | None = None
        self._idle: dict[web.RequestHandler, None] = {}  # the one idle for longest comes first
        self._answering: dict[web.RequestHandler, web.BaseRequest] = {}
        self._owed: set[web.RequestHandler] = set()
        self._none_owed = asyncio.Event()
        self._ending = False

    async def open(self, sock: socket.socket) -> None:
        """Takes the socket over, without answering yet."""
        self._sockets = await asyncio.get_running_loop().create_server(
            self._connected, sock=sock, backlog=_BACKLOG, start_serving=False
        )

    async def serve(self) -> None:
        """Answers."""
        if self._sockets is not None:
            await self._sockets.start_serving()

    def end(self) -> None:
        """Every answer from now on is the last on its connection."""
        self._ending = True

    async def close(self) -> None:
        """Stops listening, answers whoever has been accepted, closes what is left.

        Who is waiting at the socket goes on waiting if there is a duplicate of it.
        """
        self.end()
        await self._stop_accepting()
        self._none_owed.clear()
        if self._owed:
            with suppress(TimeoutError):
                async with asyncio.timeout(_OWED_S):
                    await self._none_owed.wait()
        self._connections.pre_shutdown()
        await self._connections.shutdown(_CLOSE_TIMEOUT_S)

    async def _stop_accepting(self) -> None:
        if self._sockets is None:
            return
        loop = asyncio.get_running_loop()
        for each in self._sockets.sockets:
            loop.remove_reader(each)
        # asyncio drops what it has accepted but made no connection of when the server is closed.
        await asyncio.sleep(0)
        self._sockets.close()

    def _connected(self) -> asyncio.Protocol:
        if len(self._answering) + len(self._idle) >= self._most:
            replaced = next(chain(self._idle, self._still_asking()), None)
            if replaced is None:
                return _Refusal()
            self._idle.pop(replaced, None)
            self._answering.pop(replaced, None)
            replaced.force_close()
        made = _Connection(self._connections, self._gone, **self._bounds)
        self._idle[made] = None
        self._owed.add(made)
        return made

    def _still_asking(self) -> Iterator[web.RequestHandler]:
        return (each for each, asked in self._answering.items() if not asked.content.is_eof())

    def _gone(self, connection: web.RequestHandler) -> None:
        self._idle.pop(connection, None)
        self._settled(connection)

    def _settled(self, connection: web.RequestHandler) -> None:
        self._owed.discard(connection)
        if not self._owed:
            self._none_owed.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        self._owed.add(connection)
        self._answering[connection] = request
        self._idle.pop(connection, None)
        try:
            answer = await self._handler(request)
        finally:
            self._answering.pop(connection, None)
            if connection.transport is not None:
                self._idle[connection] = None
            self._settled(connection)
        if self._ending:
            answer.force_close()
        return answer


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
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        listener = _Listener(handler, self._bounds)
        await listener.open(sock)
        # Known before it accepts: a caller cancelled on the way can still close it.
        self._listeners[key] = listener
        await listener.serve()

    def end(self) -> None:
        """The sockets being served are soon closed: clients are told not to keep connections."""
        for each in self._listeners.values():
            each.end()

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


def _of_http(bounds: Bounds) -> dict[str, Any]:
    """The bounds as aiohttp has them."""
    return {
        "access_log": None,
        "logger": log,
        "keepalive_timeout": bounds.timeout_s,
        "lingering_time": bounds.timeout_s,
        "max_line_size": bounds.header_bytes,
        "max_field_size": bounds.header_bytes,
        "max_headers": bounds.headers,
        "auto_decompress": False,
        "tcp_keepalive": False,
    }
