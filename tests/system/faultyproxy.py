"""A proxy in front of a registry, which notes each request and answers some of them wrongly.

Without faults it counts. A fault is told for a pattern of paths and a number of requests:
``proxy.on(r"/blobs/", Cut(1000), times=2)``; of several that fit the first counts.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.system.faults import PART, Answer, Fault, HangUp, Held, Silence, these
from tests.system.serving import served

DEADLINE_S = 60.0
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding")
_NO_DEADLINE = aiohttp.ClientTimeout(total=None)


@dataclass(slots=True)
class Asked:
    """A request as it came. ``status`` and ``sent``, bytes of the body so far, are the answer's."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0


@dataclass(slots=True)
class _Rule:
    pattern: str
    fault: Fault
    method: str
    times: int | None

    def takes(self, asked: Asked) -> bool:
        if self.times == 0 or asked.method != self.method:
            return False
        return re.search(self.pattern, asked.path) is not None


@dataclass(slots=True)
class Proxy:
    """A running one. ``host``: address and port for references; ``url`` has the scheme before."""

    upstream: str
    host: str = ""
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def on(
        self, pattern: str, fault: Fault, *, times: int | None = None, method: str = "GET"
    ) -> None:
        """The next requests (``times``; None: all) whose path has ``pattern`` meet the fault."""
        with self._changed:
            self._rules.append(_Rule(pattern, fault, method, times))

    def of(self, pattern: str, method: str = "GET") -> list[Asked]:
        """The requests so far whose path (with its query) has ``pattern``."""
        with self._changed:
            return [
                each
                for each in self.asked
                if each.method == method and re.search(pattern, each.path)
            ]

    def until(self, pattern: str, count: int = 1, method: str = "GET") -> None:
        """Blocks until there were so many such requests. Fails after DEADLINE_S."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: len(self.of(pattern, method)) >= count, DEADLINE_S
            )
        assert came, f"{count} requests for {pattern} did not come: {self.asked}"

    def note(self, asked: Asked) -> Fault:
        """A request has come; gives the fault that it meets."""
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            for rule in self._rules:
                if rule.takes(asked):
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule.fault
        return Fault()

    def release(self) -> None:
        """What is held goes on."""
        for rule in self._rules:
            if isinstance(rule.fault, Held):
                rule.fault.gate.set()


@contextmanager
def faulty_proxy(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy for ``upstream`` (address and port, plain HTTP), with ``tls`` an HTTPS one."""
    proxy = Proxy(upstream)
    handler = _Handler(proxy)
    application = web.Application(client_max_size=1 << 40)
    application.router.add_route("*", "/{path:.*}", handler.answer)
    application.cleanup_ctx.append(handler.opened)
    with served(application, tls) as port:
        proxy.host = f"127.0.0.1:{port}"
        proxy.url = f"http{'s' if tls else ''}://{proxy.host}"
        try:
            yield proxy
        finally:
            proxy.release()


class _Handler:
    """Lives in the proxy's own loop."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def opened(self, application: web.Application) -> AsyncIterator[None]:
        """The connections to the registry are there as long as the application is."""
        async with aiohttp.ClientSession(auto_decompress=False, timeout=_NO_DEADLINE) as session:
            self._session = session
            yield

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.method, request.path_qs, request.headers.copy())
        fault = self._proxy.note(asked)
        if isinstance(fault, Silence):
            await asyncio.Event().wait()
        if not fault.asks_registry:
            return await _sent(request, asked, fault, Answer(200, CIMultiDict(), these()))
        async with self._fetched(request, fault.drops) as fetched:
            return await _sent(request, asked, fault, fetched)

    @asynccontextmanager
    async def _fetched(self, request: web.Request, drops: tuple[str, ...]) -> AsyncIterator[Answer]:
        assert self._session is not None
        headers = _without(request.headers, *_HOP_BY_HOP, *drops)
        headers["X-Forwarded-Proto"] = request.scheme
        async with self._session.request(
            request.method,
            f"http://{self._proxy.upstream}{request.path_qs}",
            headers=headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        ) as fetched:
            said = _without(fetched.headers, *_HOP_BY_HOP)
            yield Answer(fetched.status, said, fetched.content.iter_chunked(PART))


async def _sent(
    request: web.Request, asked: Asked, fault: Fault, answer: Answer
) -> web.StreamResponse:
    fault.change(answer, request.path_qs)
    asked.status = answer.status
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async for part in answer.body:
            asked.sent += len(part)  # before the client can have it
            await response.write(part)
    except HangUp as ends:
        _hang_up(request, reset=ends.reset)
    return response


def _hang_up(request: web.Request, *, reset: bool) -> None:
    assert request.transport is not None
    if not reset:
        request.transport.close()
        return
    connection: socket.socket = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def _without(headers: Mapping[str, str], *names: str) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in names:
        kept.popall(name, None)
    return kept
