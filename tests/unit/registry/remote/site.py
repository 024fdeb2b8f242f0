"""Small HTTP servers on loopback that answer as a test wants, and note what they were asked."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from agent.registry.descriptor import LAYER, MANIFEST, Descriptor
from agent.registry.logins.login import Login
from agent.registry.reference import Reference, parse
from agent.registry.remote.registries import Registries, RemoteSettings
from agent.registry.remote.repository import Repository

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SETTINGS = RemoteSettings(
    hosts_dirs=(), insecure=frozenset(), stall_s=20.0, manifest_s=20.0, environ={}
)
BODY = b'{"schemaVersion":2,"config":{},"layers":[]}'


def descriptor_of(data: bytes, media_type: str = LAYER) -> Descriptor:
    """What names these bytes."""
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


MANIFEST_OF_BODY = descriptor_of(BODY, MANIFEST)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; ``path`` with its query, as it was sent."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def authorization(self) -> str | None:
        """What it proves itself with."""
        return self.headers.get("Authorization")


@dataclass(slots=True)
class Site:
    """A running server. ``host``: address and port."""

    handler: Handler
    scheme: str = "http"
    host: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"{self.scheme}://{self.host}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Notes the request and lets the handler answer."""
        headers = CIMultiDictProxy(CIMultiDict(request.headers))
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, headers, body))
        return await self.handler(request)


@asynccontextmanager
async def site(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """Serves on a free port of 127.0.0.1."""
    serving = Site(handler, "https" if tls else "http")
    runner = web.ServerRunner(
        web.Server(serving.answer, handler_cancellation=True), shutdown_timeout=0.0
    )
    await runner.setup()
    try:
        # aiohttp has no address of a site on port 0 but through what it deprecates.
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        serving.host = f"127.0.0.1:{runner.addresses[0][1]}"
        yield serving
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(answer: bytes, *, close: bool = True) -> AsyncIterator[str]:
    """Says these bytes to whoever asks, whatever they are. Gives address and port."""
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if not close:
                await ended.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


def saying(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    """Always the same answer; ``_`` in the names of headers is ``-``."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Each request by the next of them, and all further ones by the last."""
    left = list(handlers)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handler


async def silent(request: web.BaseRequest) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError


manifest = saying(200, BODY, Content_Type=MANIFEST, Docker_Content_Digest=MANIFEST_OF_BODY.digest)


@dataclass(slots=True)
class Keys:
    """A keyring with logins by host. ``asked`` is for which host and repository."""

    logins: dict[str, Login] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def login(self, host: str, repository: str) -> Login | None:
        self.asked.append((host, repository))
        return self.logins.get(host)


@asynccontextmanager
async def registries(settings: RemoteSettings = SETTINGS) -> AsyncIterator[Registries]:
    """What is tested, on a clean environment."""
    async with Registries(settings) as opened:
        yield opened


@asynccontextmanager
async def repository(
    reference: str, keys: Keys | None = None, settings: RemoteSettings = SETTINGS
) -> AsyncIterator[Repository]:
    """The repository of one reference."""
    async with registries(settings) as opened:
        yield opened.repository(parse(reference), keys or Keys())


@asynccontextmanager
async def repository_at(
    handler: Handler, keys: Keys | None = None, settings: RemoteSettings = SETTINGS
) -> AsyncIterator[tuple[Repository, Site]]:
    """``HOST/team/app:v1`` at a site with this handler."""
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(site(handler))
        opened = await stack.enter_async_context(
            repository(f"{serving.host}/team/app:v1", keys, settings)
        )
        yield opened, serving


def certs_d(folder: Path, registry: str, hosts_toml: str) -> RemoteSettings:
    """Settings with a ``certs.d`` where this stands for the registry."""
    own = folder / "certs.d" / registry
    own.mkdir(parents=True, exist_ok=True)
    (own / "hosts.toml").write_text(hosts_toml)
    return replace(SETTINGS, hosts_dirs=(folder / "certs.d",))


async def taken(
    repo: Repository, blob: Descriptor, offset: int = 0, got: bytearray | None = None
) -> bytes:
    """All the bytes that a blob gives; ``got`` has them also if it fails."""
    into = bytearray() if got is None else got
    async for chunk in repo.blob(blob, offset):
        into += chunk
    return bytes(into)


def named(host: str, rest: str = "team/app:v1") -> Reference:
    """A reference at a host."""
    return parse(f"{host}/{rest}")
