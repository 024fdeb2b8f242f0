"""The door for AWS's own tools: a TCP port. A signature with one of the agent's keys opens it.

Nobody else learns anything here: every request without one is refused in the same way, whatever it
asks for. Images are moved through the unix socket only, since a signature covers a body that has
been read to its end, and an archive can't be kept in memory for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from agent.doors import sigv4
from agent.doors.errors import InvalidParameter, SerializationError
from agent.doors.listening import API, listening
from agent.doors.sigv4 import Key

BODY_S = 30.0
"""Deadline for a request's body, of at most ``api.MAX_BODY`` bytes, to arrive."""


class TcpDoor:
    """A listening socket on an address and port that were set. Raises ConfigError."""

    def __init__(
        self, address: tuple[str, int], keys: Mapping[str, Key], clock: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._clock = clock
        self.socket = listening(address, API)

    def __str__(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def admit(self, request: web.Request) -> None:
        """Raises ApiError unless the whole request is signed with one of the keys."""
        path, _, query = request.raw_path.partition("?")
        head = sigv4.Head(request.method, path, query, tuple(request.headers.items()))
        claim = sigv4.claim(head, self._keys, self._clock())
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.read()
        except TimeoutError as error:
            raise SerializationError(f"the body did not come within {BODY_S:.0f} s") from error
        claim.check(body)
        if request.path == "/images" or request.path.startswith("/images/"):
            raise InvalidParameter("images are moved through the agent's unix socket only")

    def close(self) -> None:
        """It listens no more."""
        self.socket.close()
