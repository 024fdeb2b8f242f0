"""A request as rooms see it, what they answer, and what a room is.

Rooms know no HTTP library: `door` translates.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from metadata.encoding import Json, encoded
from metadata.source import Owner

BODY_LIMIT: Final = 64 * 1024  # many times what any route reads
BODY_TIMEOUT_S: Final = 5.0

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


class BodyRefused(Exception):
    """The body of a request is too long, or does not come."""


class Body(Protocol):
    """Where a request's body comes in."""

    async def readany(self) -> bytes:
        """What has come, empty at the end."""


class Asking(NamedTuple):
    """One request. `owner` is that of the socket, so it can't be wrong; `remote` is `ip:port`."""

    owner: Owner
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    remote: str = ""
    content: Body | None = None

    async def body(self, most: int = BODY_LIMIT) -> bytes:
        """The whole body. Raises BodyRefused above so many bytes or after some seconds."""
        read = b""
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while self.content is not None and (part := await self.content.readany()):
                    read += part
                    if len(read) > most:
                        raise BodyRefused(f"the body has more than {most} bytes")
        except TimeoutError:
            raise BodyRefused(f"the body did not come in {BODY_TIMEOUT_S:.0f} s") from None
        except (ConnectionError, RuntimeError):  # the latter if it had gone before we read
            raise BodyRefused("the client has gone before all of the body came") from None
        return read


@dataclass(frozen=True)
class Answer:
    """What a client gets; may be given again and again."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def head(self) -> bytes:
        """The status line and those headers that are the same every time."""
        lines = {
            # Naming ourselves replaces aiohttp's default, which tells containers our versions.
            "Server": "hostler",
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            **self.headers,
        }
        first = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        return (first + "".join(f"{name}: {text}\r\n" for name, text in lines.items())).encode()


NOT_FOUND: Final = Answer(b"404 page not found\n", 404, TEXT)
TOO_MANY: Final = Answer(b"You have reached maximum request limit.", 429, TEXT)


def shown(value: Json, status: int = 200) -> Answer:
    """The value as JSON."""
    return Answer(encoded(value), status)


class Room(Protocol):
    """Whatever answers for one part of all paths."""

    async def answer(self, asking: Asking) -> Answer:
        """The answer; NOT_FOUND for a path that means nothing here. Raises nothing."""
