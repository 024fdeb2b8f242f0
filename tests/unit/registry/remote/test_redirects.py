"""Where redirects may lead, and what goes along."""

import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.login import Login
from agent.registry.remote.registries import RemoteSettings
from tests.system.certificates import Authority
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    SETTINGS,
    Handler,
    Keys,
    certs_d,
    descriptor_of,
    in_turn,
    manifest,
    named,
    registries,
    repository_at,
    saying,
    site,
    taken,
)

DATA = b"content"
BLOB = descriptor_of(DATA)
BASIC = saying(401, WWW_Authenticate='Basic realm="x"')
LOGIN = Login("me", "hidden-password")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_to_another_host_nothing_private_goes_along(status: int, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(site(saying(200, DATA)))
        to = saying(status, Location=f"{storage.url}/d/x?sig=a%2Fb%3D&e=1")
        registry = await stack.enter_async_context(site(in_turn(BASIC, to)))
        settings = certs_d(
            tmp_path,
            registry.host,
            f'server = "{registry.url}"\n[header]\nX-Secret = "hidden-header"\nCookie = "c=1"',
        )
        opened = await stack.enter_async_context(registries(settings))
        keys = Keys({registry.host: LOGIN})
        repository = opened.repository(named(registry.host), keys)
        assert await taken(repository, BLOB) == DATA
    assert [each.authorization is not None for each in registry.asked] == [False, True]
    assert [each.headers["X-Secret"] for each in registry.asked] == ["hidden-header"] * 2
    (asked,) = storage.asked
    assert asked.path == "/d/x?sig=a%2Fb%3D&e=1"
    assert not {"Authorization", "X-Secret", "Cookie"} & set(asked.headers)
    assert asked.headers["Accept-Encoding"] == "identity"
    assert keys.asked == [(registry.host, "team/app")]


async def test_what_describes_the_request_goes_along() -> None:
    told = f"bytes 2-{len(DATA) - 1}/{len(DATA)}"
    async with site(saying(206, DATA[2:], Content_Range=told)) as storage:
        handler = saying(307, Location=f"{storage.url}/x")
        async with repository_at(handler) as (repository, _):
            assert await taken(repository, BLOB, 2) == DATA[2:]
    (asked,) = storage.asked
    assert (asked.method, asked.headers["Range"]) == ("GET", "bytes=2-")


async def test_on_the_same_host_what_is_private_goes_along() -> None:
    keys = Keys()
    handler = in_turn(BASIC, saying(307, Location="../elsewhere?x=1"), manifest)
    async with repository_at(handler, keys) as (repository, registry):
        keys.logins[registry.host] = LOGIN
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert [(each.method, each.path) for each in registry.asked] == [
        ("HEAD", "/v2/team/app/manifests/v1"),
        ("HEAD", "/v2/team/app/manifests/v1"),
        ("HEAD", "/v2/team/app/elsewhere?x=1"),
    ]
    assert registry.asked[2].authorization == registry.asked[1].authorization is not None


async def test_who_is_redirected_back_stays_a_stranger() -> None:
    """Else anybody could have our login used for a request of his choice."""
    keys = Keys()
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(BASIC))
        other = await stack.enter_async_context(
            site(saying(307, Location=f"{registry.url}/v2/else/manifests/v1"))
        )
        registry.handler = in_turn(BASIC, saying(307, Location=other.url), manifest)
        opened = await stack.enter_async_context(registries())
        keys.logins[registry.host] = LOGIN
        assert await opened.repository(named(registry.host), keys).resolve() == MANIFEST_OF_BODY
    assert registry.asked[1].authorization
    assert registry.asked[2].authorization is None


async def test_another_host_s_challenge_gets_no_answer() -> None:
    keys = Keys()
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(site(BASIC))
        registry = await stack.enter_async_context(
            site(saying(307, Location=f"{other.url}/x?sig=hidden"))
        )
        keys.logins = {registry.host: LOGIN, other.host: LOGIN}
        opened = await stack.enter_async_context(registries())
        with pytest.raises(RegistryError) as caught:
            await opened.repository(named(registry.host), keys).resolve()
    assert str(caught.value) == (
        f"{other.host}, to which {registry.host} redirects, answers 401 Unauthorized"
    )
    assert len(other.asked) == 1
    assert keys.asked == []


@pytest.mark.parametrize(
    ("status", "passes"), [(403, False), (404, False), (429, True), (503, True)]
)
async def test_refusals_of_another_host(status: int, *, passes: bool) -> None:
    body = b'{"errors":[{"code":"X","message":"/x?sig=hidden is no good"}]}'
    async with site(saying(status, body)) as other:
        handler = saying(307, Location=f"{other.url}/x?sig=hidden")
        async with repository_at(handler) as (repository, _):
            with pytest.raises(RegistryError) as caught:
                await taken(repository, BLOB)
    assert other.host in str(caught.value)
    assert str(status) in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert isinstance(caught.value, RegistryUnavailable) is passes


@pytest.mark.parametrize("times", [10, 11])
async def test_ten_are_followed_and_no_more(times: int) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        count = int(request.query.get("n", "0"))
        if count == times:
            return await manifest(request)
        return web.Response(status=302, headers={"Location": f"?n={count + 1}"})

    async with repository_at(handler) as (repository, registry):
        if times == 10:
            assert await repository.resolve() == MANIFEST_OF_BODY
        else:
            with pytest.raises(RegistryError) as caught:
                await repository.resolve()
            assert str(caught.value) == f"{registry.host}: more than 10 redirects"
    assert len(registry.asked) == 11


@pytest.mark.parametrize(
    ("location", "says"),
    [
        (None, "a redirect that doesn't say where to"),
        ("", "a redirect that doesn't say where to"),
        ("file:///etc/shadow?hidden", "a redirect to something that is no http or https URL"),
        ("ftp://a.example/hidden", "a redirect to something that is no http or https URL"),
        ("http://a.example:0/hidden", "a redirect to something that is no http or https URL"),
        ("http://a.example:99999/hidden", "a redirect to something that is no URL"),
        ("http://[hidden/", "a redirect to something that is no URL"),
        ("https://xn--hidden-/", "a redirect to something that is no URL"),
        ("//[::1]@", "a redirect to something that is no URL"),
    ],
)
async def test_redirects_that_lead_nowhere(location: str | None, says: str) -> None:
    handler = saying(302) if location is None else saying(302, Location=location)
    async with repository_at(handler) as (repository, registry):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == f"{registry.host}: {says}"


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "." + "a" * 900])
async def test_hosts_that_can_t_be(host: str) -> None:
    async with repository_at(saying(302, Location=f"http://{host}/?hidden")) as (repository, _):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == f"{host[:255]}: can't be the name of a host"
    assert "hidden" not in str(caught.value)


async def test_a_login_in_a_location_is_left_out() -> None:
    async with site(manifest) as other:
        handler = saying(302, Location=f"http://me:hidden@{other.host}/x")
        async with repository_at(handler) as (repository, _):
            assert await repository.resolve() == MANIFEST_OF_BODY
    (asked,) = other.asked
    assert asked.authorization is None


async def test_spaces_in_a_location_are_encoded() -> None:
    handler = in_turn(saying(302, Location="/a b?c d"), manifest)
    async with repository_at(handler) as (repository, registry):
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert registry.asked[1].path in ("/a%20b?c+d", "/a%20b?c%20d")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    return authority.issue("server").server()


async def test_from_https_to_http_is_refused(
    tmp_path: Path, authority: Authority, tls: ssl.SSLContext
) -> None:
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(site(manifest))
        registry = await stack.enter_async_context(
            site(saying(307, Location=f"{plain.url}/x?sig=hidden"), tls)
        )
        opened = await stack.enter_async_context(
            registries(trusting(tmp_path, registry.host, authority))
        )
        with pytest.raises(RegistryError) as caught:
            await opened.repository(named(registry.host), Keys()).resolve()
    assert str(caught.value) == (
        f"{registry.host}: a redirect from https to {plain.url}, which is not followed"
    )
    assert plain.asked == []


async def test_from_https_to_https_with_the_same_trust(
    tmp_path: Path, authority: Authority, tls: ssl.SSLContext
) -> None:
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(site(saying(200, DATA), tls))
        registry = await stack.enter_async_context(
            site(saying(307, Location=f"{storage.url}/x"), tls)
        )
        opened = await stack.enter_async_context(
            registries(trusting(tmp_path, registry.host, authority))
        )
        repository = opened.repository(named(registry.host), Keys())
        assert await taken(repository, BLOB) == DATA
    assert len(storage.asked) == 1


async def test_our_certificate_is_not_shown_to_another_host(
    tmp_path: Path, authority: Authority
) -> None:
    shown: dict[str, object] = {}

    def noting(then: Handler) -> Handler:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            assert request.transport
            shown[request.host.partition(":")[0]] = request.transport.get_extra_info("peercert")
            return await then(request)

        return handler

    server = authority.issue("server")
    asks = server.server(clients=authority.path)
    asks.verify_mode = ssl.CERT_OPTIONAL
    ours = authority.issue("ours")
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(site(noting(saying(200, DATA)), asks))
        port = storage.host.partition(":")[2]
        registry = await stack.enter_async_context(
            site(noting(saying(307, Location=f"https://localhost:{port}/x")), asks)
        )
        settings = certs_d(
            tmp_path,
            registry.host,
            f'ca = "{authority.path}"\nclient = [["{ours.certificate}", "{ours.key}"]]',
        )
        opened = await stack.enter_async_context(registries(settings))
        repository = opened.repository(named(registry.host), Keys())
        assert await taken(repository, BLOB) == DATA
    assert shown["127.0.0.1"]
    assert not shown["localhost"]


def trusting(folder: Path, host: str, authority: Authority) -> RemoteSettings:
    """Settings with the authority's certificate where Docker has it too."""
    own = folder / "certs.d" / host
    own.mkdir(parents=True)
    (own / "ca.crt").write_bytes(authority.path.read_bytes())
    return replace(SETTINGS, hosts_dirs=(folder / "certs.d",))
