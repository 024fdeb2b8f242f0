"""Where tokens are had: whom a registry may send us to with a login."""

import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from agent.registry.errors import RegistryError
from agent.registry.logins.login import Login
from tests.system.certificates import Authority
from tests.unit.registry.remote.bearer import ME, Bearer, basic, granting
from tests.unit.registry.remote.site import (
    Keys,
    certs_d,
    named,
    registries,
    repository_at,
    saying,
    site,
)


@pytest.mark.parametrize(
    ("realm", "says"),
    [
        ("", "asks for a token but names no server that has them"),
        ("/token", "asks for a token but names no server that has them"),
        ("ftp://a.example", "asks for a token but names no server that has them"),
        ("http://me:hidden@a.example", "asks for a token but names no server that has them"),
        ("http://a.example:99999", "asks for a token but names no server that has them"),
        ("https://xn--hidden-/", "asks for a token but names no server that has them"),
        ("//[::1]@", "asks for a token but names no server that has them"),
    ],
)
async def test_realms_that_are_none(realm: str, says: str) -> None:
    async with repository_at(saying(401, WWW_Authenticate=f'Bearer realm="{realm}"')) as (
        repository,
        registry,
    ):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == f"{registry.host} {says}"


@pytest.mark.parametrize("login", [ME, None])
async def test_a_realm_over_http_is_refused(tmp_path: Path, login: Login | None) -> None:
    authority = Authority(tmp_path)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(site(granting()))
        registry = await stack.enter_async_context(
            site(Bearer(realm=f"{server.url}/t").registry, authority.issue("r").server())
        )
        settings = certs_d(tmp_path, registry.host, f'ca = "{authority.path}"')
        opened = await stack.enter_async_context(registries(settings))
        keys = Keys({registry.host: login} if login else {})
        with pytest.raises(RegistryError) as caught:
            await opened.repository(named(registry.host), keys).resolve()
    assert str(caught.value) == (
        f"{registry.host} names a token server without TLS, {server.url}: no login is sent there"
    )
    assert server.asked == []


async def test_a_realm_over_https_is_trusted_as_the_registry_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls: ssl.SSLContext = authority.issue("r").server()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(site(granting(), tls))
        registry = await stack.enter_async_context(
            site(Bearer(realm=f"{server.url}/t").registry, tls)
        )
        settings = certs_d(
            tmp_path,
            registry.host,
            f'ca = "{authority.path}"\nheader = {{X-Secret = "hidden-header"}}',
        )
        opened = await stack.enter_async_context(registries(settings))
        await opened.repository(named(registry.host), Keys({registry.host: ME})).resolve()
    (asked,) = server.asked
    assert asked.authorization == basic(ME)
    assert "X-Secret" not in asked.headers


async def test_the_registry_s_own_token_server_gets_what_is_configured(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (granting()(request) if request.path == "/t" else bearer.registry(request))

    bearer = Bearer()
    async with site(handler) as registry:
        bearer.realm = f"{registry.url}/t"
        settings = certs_d(
            tmp_path, registry.host, f'server = "{registry.url}"\nheader = {{X-Secret = "s"}}'
        )
        async with registries(settings) as opened:
            await opened.repository(named(registry.host), Keys()).resolve()
    assert [each.headers["X-Secret"] for each in registry.asked] == ["s", "s", "s"]
