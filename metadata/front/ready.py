"""Sends an answer whose bytes are known in one write.

Composing headers anew for each answer, as aiohttp's own response does, is a third of what a request
costs; here only what differs between two requests for the same is added.
"""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from metadata.front.asking import Answer

_HIGH_WATER = 256 * 1024  # bytes of answers that one client may leave untaken


class Ready(web.StreamResponse):
    """The answer to one request, with `headers` (whole lines) of this request's own."""

    def __init__(self, answer: Answer, headers: str) -> None:
        super().__init__(status=answer.status)
        self._answer = answer
        self._own = headers
        self._keep = True

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may serve another request."""
        return self._keep

    def force_close(self) -> None:
        """It is the last answer on its connection; to be said before it is sent."""
        self._keep = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends all of it. A client that takes no answers in is let go."""
        self._keep = self._keep and request.keep_alive
        transport = request.transport
        if transport is None or transport.get_write_buffer_size() > _HIGH_WATER:
            self._keep = False
            if transport is not None:
                transport.abort()
            return None
        connection = "" if self._keep else "Connection: close\r\n"
        head = f"{self._own}Date: {_date(int(time.time()))}\r\n{connection}\r\n"
        body = b"" if request.method == "HEAD" else self._answer.body
        transport.write(self._answer.head + head.encode("utf-8", "surrogateescape") + body)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
