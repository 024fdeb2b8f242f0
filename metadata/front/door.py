"""Answers the requests that come in on one owner's socket.

Here: HTTP, the rate limit, and finding the room that answers a path. Any HTTP method will do, as on
ECS, unless the room says otherwise.
"""

import posixpath
from collections.abc import Callable, Mapping
from urllib.parse import quote

from aiohttp import web

from metadata.front.asking import NOT_FOUND, TEXT, TOO_MANY, Answer, Asking, Room
from metadata.front.limits import Buckets, Rate
from metadata.front.ready import Ready
from metadata.source import Owner


class Door:
    """The request handler of one listening socket: all it shows belongs to the socket's owner.

    `rooms` are by the first part of the path, or by the first two. `turned_away` is told of each
    request above the limit.
    """

    def __init__(
        self,
        owner: Owner,
        rooms: Mapping[str, Room],
        rate: Rate,
        turned_away: Callable[[Asking], None],
    ) -> None:
        self._owner = owner
        self._rooms = rooms
        self._buckets = Buckets(rate)
        self._turned_away = turned_away
        self._limit = f"X-Rate-Limit-Limit: {rate.per_second:.2f}\r\nX-Rate-Limit-Duration: 1\r\n"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request; whatever a container may send, it is one of the codes."""
        peer = request.transport and request.transport.get_extra_info("peername")
        client, port = peer[:2] if peer else ("", 0)  # it may have gone meanwhile
        asking = Asking(
            owner=self._owner,
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            remote=f"{client}:{port}",
            content=request.content,
        )
        # Not by the client's address: who asks has all of 127/8 to choose from.
        if self._buckets.admit(self._owner, asking.path):
            answer = await self._answer(asking)
        else:
            # What is told of it must know where in the path an id is.
            self._turned_away(asking._replace(path=_cleaned(asking.path)))
            answer = TOO_MANY
        forwarded = request.headers.get("X-Forwarded-For", "")
        return Ready(
            answer,
            f"{self._limit}X-Rate-Limit-Request-Forwarded-For: {forwarded}\r\n"
            f"X-Rate-Limit-Request-Remote-Addr: {asking.remote}\r\n",
        )

    async def _answer(self, asking: Asking) -> Answer:
        cleaned = _cleaned(asking.path)
        if cleaned != asking.path:
            return _moved(cleaned, asking.query)
        _, _, words = asking.path.partition("/")  # nothing in `*`, and in what CONNECT names
        first, _, rest = words.partition("/")
        second, _, _ = rest.partition("/")
        room = self._rooms.get(f"{first}/{second}") or self._rooms.get(first)
        return NOT_FOUND if room is None else await room.answer(asking)


def _moved(path: str, query: str) -> Answer:
    location = quote(path) + (f"?{query}" if query else "")
    return Answer(b"", 301, TEXT, {"Location": location})


def _cleaned(path: str) -> str:
    """Without empty, `.` and `..` segments; a slash at the end stays."""
    if not path.startswith("/") or ("//" not in path and "/." not in path):
        return path
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
