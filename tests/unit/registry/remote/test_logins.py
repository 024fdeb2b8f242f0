"""By name and password we prove who we are, and only to whom it concerns."""

import json
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.login import Login
from agent.registry.reference import parse
from agent.registry.remote.registries import RemoteSettings
from tests.unit.registry.remote.bearer import BASIC, IDENTITY, ME, PASSWORD, basic
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    Keys,
    certs_d,
    in_turn,
    manifest,
    named,
    registries,
    repository_at,
    saying,
    site,
)


async def test_a_name_and_a_password() -> None:
    keys = Keys()
    async with repository_at(in_turn(BASIC, manifest), keys) as (repository, registry):
        keys.logins[registry.host] = ME
        assert await repository.resolve() == MANIFEST_OF_BODY
        await repository.manifest(MANIFEST_OF_BODY)
    # The second request knows what is wanted.
    assert [each.authorization for each in registry.asked] == [None, basic(ME), basic(ME)]
    assert keys.asked == [(registry.host, "team/app")]


async def test_nobody_is_asked_for_a_login_that_is_not_needed() -> None:
    keys = Keys()
    async with repository_at(manifest, keys) as (repository, _):
        await repository.resolve()
    assert keys.asked == []


async def test_a_login_that_is_refused_is_not_tried_again() -> None:
    keys = Keys()
    denied = saying(
        401,
        json.dumps({"errors": [{"code": "U", "message": f"{PASSWORD}: {basic(ME)}"}]}).encode(),
        WWW_Authenticate='Basic realm="x"',
    )
    async with repository_at(denied, keys) as (repository, registry):
        keys.logins[registry.host] = ME
        with pytest.raises(RegistryError) as caught:
            await repository.manifest(MANIFEST_OF_BODY)
    assert str(caught.value) == (
        f"{registry.host} does not give {registry.host}/team/app:v1 (U: ...: Basic ...):"
        " the login 'me' was used, check it, what it may pull, and the name"
    )
    assert len(registry.asked) == 2


async def test_no_login_for_a_registry_that_wants_one() -> None:
    async with repository_at(BASIC) as (repository, registry):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == (
        f"{registry.host} asks for a login: log in with `docker login {registry.host}` or give the"
        " container repositoryCredentials"
    )


async def test_an_identity_token_where_a_password_is_wanted() -> None:
    keys = Keys()
    async with repository_at(BASIC, keys) as (repository, registry):
        keys.logins[registry.host] = Login("", identity_token=IDENTITY)
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == (
        f"{registry.host} takes a name and a password, and of the login there is only an identity"
        " token"
    )


async def test_a_challenge_that_is_not_known() -> None:
    handler = saying(401, b'{"errors":[{"message":"no"}]}', WWW_Authenticate="Negotiate")
    async with repository_at(handler) as (repository, _):
        with pytest.raises(RegistryError, match=r"does not give .* \(no\): no login was used"):
            await repository.manifest(MANIFEST_OF_BODY)


async def test_a_keyring_that_fails() -> None:
    class Locked(Keys):
        async def login(self, host: str, repository: str) -> Login | None:
            raise RegistryUnavailable("the helper does not answer")

    async with repository_at(BASIC, Locked()) as (repository, _):
        with pytest.raises(RegistryUnavailable, match="the helper does not answer"):
            await repository.resolve()


async def test_what_the_administrator_configured_gives_way_to_a_login(tmp_path: Path) -> None:
    async with site(in_turn(BASIC, manifest)) as registry:
        settings = certs_d(
            tmp_path,
            registry.host,
            f'server = "{registry.url}"\nheader = {{authorization = "Basic Y29uZg==", X = "1"}}',
        )
        async with registries(settings) as opened:
            keys = Keys({registry.host: ME})
            await opened.repository(named(registry.host), keys).resolve()
    first, second = registry.asked
    assert first.headers.getall("Authorization") == ["Basic Y29uZg=="]
    assert second.headers.getall("Authorization") == [basic(ME)]
    assert (first.headers["X"], second.headers["X"]) == ("1", "1")


async def test_what_the_administrator_configured_is_in_no_text(tmp_path: Path) -> None:
    body = b'{"errors":[{"message":"1 2 hidden-header"}]}'
    async with site(saying(418, body)) as registry:
        settings = certs_d(
            tmp_path,
            registry.host,
            f'server = "{registry.url}"\nheader = {{X = "hidden-header", Y = "1"}}',
        )
        async with registries(settings) as opened:
            repository = opened.repository(named(registry.host), Keys())
            with pytest.raises(RegistryError, match=r"\(1 2 \.\.\.\)$"):
                await repository.manifest(MANIFEST_OF_BODY)


async def test_files_of_other_programs_and_cookies_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    handler = in_turn(saying(405, Set_Cookie="a=b"), manifest)
    async with repository_at(handler) as (repository, registry):
        await repository.resolve()
    assert [each.authorization for each in registry.asked] == [None, None]
    assert not any("Cookie" in each.headers for each in registry.asked)


async def test_a_mirror_gets_its_own_login(tmp_path: Path) -> None:
    theirs = Login("them", "theirs")
    async with AsyncExitStack() as stack:
        mirror = await stack.enter_async_context(site(BASIC))
        registry = await stack.enter_async_context(site(in_turn(BASIC, manifest)))
        settings = certs_d(
            tmp_path, registry.host, f'server = "{registry.url}"\n[host."{mirror.url}"]'
        )
        opened = await stack.enter_async_context(registries(settings))
        keys = Keys({registry.host: ME, mirror.host: theirs})
        assert await opened.repository(named(registry.host), keys).resolve() == MANIFEST_OF_BODY
    assert [each.authorization for each in mirror.asked] == [None, basic(theirs)]
    assert [each.authorization for each in registry.asked] == [None, basic(ME)]
    assert keys.asked == [(mirror.host, "team/app"), (registry.host, "team/app")]


async def test_a_mirror_does_not_get_the_registry_s_login(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        mirror = await stack.enter_async_context(site(BASIC))
        registry = await stack.enter_async_context(site(in_turn(BASIC, manifest)))
        settings = certs_d(
            tmp_path, registry.host, f'server = "{registry.url}"\n[host."{mirror.url}"]'
        )
        opened = await stack.enter_async_context(registries(settings))
        keys = Keys({registry.host: ME})
        assert await opened.repository(named(registry.host), keys).resolve() == MANIFEST_OF_BODY
    assert [each.authorization for each in mirror.asked] == [None]


async def test_docker_hub_s_login_is_that_of_docker_io(tmp_path: Path) -> None:
    """The hub's host is asked through a proxy, which is all that this machine reaches."""
    keys = Keys({"docker.io": ME})
    async with site(in_turn(BASIC, manifest)) as proxy:
        settings: RemoteSettings = replace(
            certs_d(tmp_path, "docker.io", 'server = "http://docker.io"'),
            environ={"HTTP_PROXY": proxy.url},
        )
        async with registries(settings) as opened:
            await opened.repository(parse("busybox"), keys).resolve()
    assert [(each.path, each.authorization) for each in proxy.asked] == [
        ("http://registry-1.docker.io/v2/library/busybox/manifests/latest", None),
        ("http://registry-1.docker.io/v2/library/busybox/manifests/latest", basic(ME)),
    ]
    assert keys.asked == [("docker.io", "library/busybox")]
