"""What a ``faultyproxy`` may do to the answers of a registry."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from multidict import CIMultiDict

PART = 64 << 10
_HELD_S = 60.0


@dataclass(slots=True)
class Answer:
    """What the registry says, for a fault to change. ``body`` comes as it is read."""

    status: int
    headers: CIMultiDict[str]
    body: AsyncIterator[bytes]


class HangUp(Exception):
    """Raised by a body: the connection ends here. ``reset``: by RST, which loses what is sent."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("the proxy hangs up")
        self.reset = reset


class Fault:
    """None at all: what the registry says is passed on."""

    asks_registry: ClassVar[bool] = True
    drops: ClassVar[tuple[str, ...]] = ()
    """Headers that the registry is not shown."""

    def change(self, answer: Answer, path: str) -> None:
        """Makes of the answer to a request for ``path`` what the client gets."""


@dataclass(frozen=True)
class Cut(Fault):
    """The connection ends after so many bytes of the body, of which more were announced."""

    after: int
    reset: bool = False

    def change(self, answer: Answer, path: str) -> None:
        answer.body = self._cut(answer.body)

    async def _cut(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in _first(body, self.after):
            yield part
        raise HangUp(reset=self.reset)


@dataclass(frozen=True)
class Short(Fault):
    """A whole answer with only so many bytes, and a Content-Length that agrees."""

    size: int

    def change(self, answer: Answer, path: str) -> None:
        answer.headers["Content-Length"] = str(self.size)
        answer.body = _first(answer.body, self.size)


@dataclass(frozen=True)
class Longer(Fault):
    """More follows than the registry has, and Content-Length agrees."""

    extra: bytes

    def change(self, answer: Answer, path: str) -> None:
        size = int(answer.headers["Content-Length"]) + len(self.extra)
        answer.headers["Content-Length"] = str(size)
        answer.body = self._and_more(answer.body)

    async def _and_more(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            yield part
        yield self.extra


@dataclass(frozen=True)
class Stall(Fault):
    """After so many bytes nothing more comes, and the connection stays."""

    after: int = 0

    def change(self, answer: Answer, path: str) -> None:
        answer.body = self._stalled(answer.body)

    async def _stalled(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in _first(body, self.after):
            yield part
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Silence(Fault):
    """The request is taken, and no answer begins."""

    asks_registry = False


@dataclass(frozen=True)
class Held(Fault):
    """After so many bytes the rest waits until the test sets ``gate``."""

    after: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def change(self, answer: Answer, path: str) -> None:
        answer.body = self._held(answer.body)

    async def _held(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = self.after
        async for part in body:
            yield part[:left]
            if len(part) > left:
                await asyncio.to_thread(self.gate.wait, _HELD_S)
                yield part[left:]
                left = 0
            left -= min(left, len(part))


@dataclass(frozen=True)
class Slow(Fault):
    """``part`` bytes at a time, with a pause after each."""

    part: int
    pause_s: float

    def change(self, answer: Answer, path: str) -> None:
        answer.body = self._slow(answer.body)

    async def _slow(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            for begin in range(0, len(part), self.part):
                yield part[begin : begin + self.part]
                await asyncio.sleep(self.pause_s)


@dataclass(frozen=True)
class Corrupt(Fault):
    """The byte at this place of the body is another one."""

    at: int = 0

    def change(self, answer: Answer, path: str) -> None:
        answer.body = self._corrupted(answer.body)

    async def _corrupted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        done = 0
        async for part in body:
            changed = bytearray(part)
            if done <= self.at < done + len(part):
                changed[self.at - done] ^= 0xFF
            done += len(part)
            yield bytes(changed)


@dataclass(frozen=True)
class Headers(Fault):
    """Lies in headers, such as Docker-Content-Digest; None takes one away."""

    changes: Mapping[str, str | None]

    def change(self, answer: Answer, path: str) -> None:
        for name, value in self.changes.items():
            answer.headers.popall(name, None)
            if value is not None:
                answer.headers[name] = value


class NoRange(Fault):
    """Range is ignored: the whole comes, with 200."""

    drops = ("Range",)


@dataclass(frozen=True)
class Says(Fault):
    """An answer of the proxy's own, such as 429 with Retry-After; the registry is not asked."""

    asks_registry = False

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def change(self, answer: Answer, path: str) -> None:
        answer.status = self.status
        answer.headers.update(self.headers)
        answer.headers["Content-Length"] = str(len(self.body))
        answer.body = these(self.body)


@dataclass(frozen=True)
class Redirect(Fault):
    """To the same path at ``base`` (scheme, host, port)."""

    asks_registry = False

    base: str
    status: int = 307

    def change(self, answer: Answer, path: str) -> None:
        answer.status = self.status
        answer.headers.update({"Location": f"{self.base}{path}", "Content-Length": "0"})


@dataclass(frozen=True)
class Endless(Fault):
    """Bytes without end; ``announced`` as Content-Length, or none."""

    asks_registry = False

    announced: int | None = None

    def change(self, answer: Answer, path: str) -> None:
        if self.announced is not None:
            answer.headers["Content-Length"] = str(self.announced)
        answer.body = _endless()


async def these(*parts: bytes) -> AsyncIterator[bytes]:
    """A body of these parts."""
    for part in parts:
        yield part


async def _endless() -> AsyncIterator[bytes]:
    part = bytes(PART)
    for _ in itertools.count():
        yield part


async def _first(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    left = size
    async for part in body:
        if left:
            yield part[:left]
        left -= min(left, len(part))
        if not left:
            return
