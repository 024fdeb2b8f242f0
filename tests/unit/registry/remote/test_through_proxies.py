"""Requests through the proxies of the environment, and those that go around them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.reference import parse
from agent.registry.remote.registries import RemoteSettings
from tests.system.certificates import Authority
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    SETTINGS,
    Keys,
    certs_d,
    manifest,
    named,
    registries,
    saying,
    site,
)

LOGIN = "Basic bWU6cEBzcw=="  # me:p@ss


@dataclass(slots=True)
class Tunnels:
    """A proxy for https: whatever host CONNECT names, ``to`` is what it leads to."""

    to: str = ""
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    host: str = ""
    asked: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer)
            if self.to:
                host, _, port = self.to.partition(":")
                there = await asyncio.open_connection(host, int(port))
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one of the two has gone
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def tunnels(to: str = "", answer: bytes | None = None) -> AsyncIterator[Tunnels]:
    made = Tunnels(to)
    if answer is not None:
        made.answer = answer
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    async with server:
        made.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


async def test_http_through_a_proxy(tmp_path: Path) -> None:
    async with site(manifest) as proxy:
        settings = replace(
            certs_d(tmp_path, "r.example", 'server = "http://r.example"'),
            environ={
                "HTTP_PROXY": proxy.url.replace("//", "//me:p%40ss@"),
                "NO_PROXY": "b.example",
            },
        )
        async with registries(settings) as opened:
            repository = opened.repository(parse("r.example/app:v1"), Keys())
            assert await repository.resolve() == MANIFEST_OF_BODY
    (asked,) = proxy.asked
    assert asked.path == "http://r.example/v2/app/manifests/v1"
    assert asked.headers["Proxy-Authorization"] == LOGIN
    assert asked.authorization is None


async def test_https_through_a_proxy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with AsyncExitStack() as stack:
        tls = authority.issue("r", ("r.example",)).server()
        registry = await stack.enter_async_context(site(manifest, tls))
        proxy = await stack.enter_async_context(tunnels(registry.host))
        settings = replace(
            certs_d(tmp_path, "r.example", f'ca = "{authority.path}"'),
            environ={"https_proxy": f"http://me:p%40ss@{proxy.host}"},
        )
        opened = await stack.enter_async_context(registries(settings))
        repository = opened.repository(parse("r.example/app:v1"), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY
    (asked,) = proxy.asked
    assert asked.startswith("CONNECT r.example:443 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {LOGIN}\r\n" in asked
    (seen,) = registry.asked
    assert "Proxy-Authorization" not in seen.headers


async def test_this_machine_is_never_behind_a_proxy() -> None:
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(manifest))
        proxy = await stack.enter_async_context(site(saying(500)))
        settings = replace(SETTINGS, environ={"HTTP_PROXY": proxy.url, "NO_PROXY": ""})
        opened = await stack.enter_async_context(registries(settings))
        repository = opened.repository(named(registry.host), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert proxy.asked == []


async def test_an_exception_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback address of a name that is not one of loopback's own."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(manifest))
        port = registry.host.partition(":")[2]
        proxy = await stack.enter_async_context(site(saying(418)))
        loop = asyncio.get_running_loop()
        known = loop.getaddrinfo

        async def getaddrinfo(host: str, *rest: object, **named: object) -> object:
            here = "127.0.0.1" if host == "r.example" else host
            return await known(here, *rest, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        environ = {"HTTP_PROXY": proxy.url, "NO_PROXY": ".example"}
        settings = replace(SETTINGS, environ=environ, insecure=frozenset({f"r.example:{port}"}))
        opened = await stack.enter_async_context(registries(settings))
        repository = opened.repository(parse(f"r.example:{port}/app:v1"), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert proxy.asked == []


async def test_each_redirect_has_its_own_way(tmp_path: Path) -> None:
    """From a host behind the proxy to one that is not."""
    async with AsyncExitStack() as stack:
        near = await stack.enter_async_context(site(manifest))
        proxy = await stack.enter_async_context(site(saying(307, Location=f"{near.url}/x")))
        settings = replace(
            certs_d(tmp_path, "r.example", 'server = "http://r.example"'),
            environ={"HTTP_PROXY": f"http://me:p%40ss@{proxy.host}"},
        )
        opened = await stack.enter_async_context(registries(settings))
        repository = opened.repository(parse("r.example/app:v1"), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert [each.path for each in near.asked] == ["/x"]
    assert "Proxy-Authorization" not in near.asked[0].headers


@pytest.mark.parametrize(
    ("answer", "says", "passes"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "r.example: the proxy wants a login (407): put it into the proxy's URL in the"
            " environment",
            False,
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "r.example: the proxy lets us not through (403)",
            True,
        ),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, says: str, *, passes: bool) -> None:
    async with tunnels(answer=answer) as proxy:
        settings = replace(SETTINGS, environ={"HTTPS_PROXY": f"http://me:hidden@{proxy.host}"})
        async with registries(settings) as opened:
            with pytest.raises(RegistryError) as caught:
                await opened.repository(parse("r.example/app:v1"), Keys()).resolve()
    assert str(caught.value) == says
    assert isinstance(caught.value, RegistryUnavailable) is passes


async def test_a_proxy_that_is_not_there() -> None:
    environ = {"HTTPS_PROXY": "http://me:hidden@127.0.0.1:1"}
    async with registries(replace(SETTINGS, environ=environ)) as opened:
        with pytest.raises(RegistryUnavailable) as caught:
            await opened.repository(parse("r.example/app:v1"), Keys()).resolve()
    assert str(caught.value) == (
        "r.example: the proxy 127.0.0.1 can't be reached: Connection refused"
    )


async def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    settings = RemoteSettings((), frozenset(), stall_s=20.0, manifest_s=20.0)
    async with registries(settings) as opened:
        with pytest.raises(RegistryUnavailable, match=r"the proxy 127\.0\.0\.1 can't be reached"):
            await opened.repository(parse("r.example/app:v1"), Keys()).resolve()


async def test_a_proxy_that_is_none() -> None:
    async with registries(replace(SETTINGS, environ={"HTTPS_PROXY": "socks5://p:1"})) as opened:
        with pytest.raises(RegistryError, match="HTTPS_PROXY in the environment must be like"):
            await opened.repository(parse("r.example/app:v1"), Keys()).resolve()
