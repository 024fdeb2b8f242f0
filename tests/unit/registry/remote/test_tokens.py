"""Tokens: how they are asked for, and what answers may be."""

import json
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.login import Login
from agent.registry.remote import tokens
from tests.unit.registry.remote.bearer import (
    IDENTITY,
    ME,
    PASSWORD,
    TOKEN,
    Bearer,
    basic,
    granting,
    query,
    two,
)
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    SETTINGS,
    in_turn,
    saying,
    site,
)


async def test_a_token_for_anybody() -> None:
    async with two() as world:
        assert await world.repository().resolve() == MANIFEST_OF_BODY
    (asked,) = world.server.asked
    assert asked.method == "GET"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert query(asked) == {"service": ["r.example"], "scope": ["repository:team/app:pull"]}
    assert asked.authorization is None
    assert [each.authorization for each in world.registry.asked] == [None, f"Bearer {TOKEN}"]


async def test_a_token_for_a_login() -> None:
    async with two() as world:
        assert await world.repository(ME).resolve() == MANIFEST_OF_BODY
    (asked,) = world.server.asked
    assert asked.authorization == basic(ME)
    assert query(asked)["account"] == ["me"]
    # The registry itself sees the token alone.
    assert [each.authorization for each in world.registry.asked] == [None, f"Bearer {TOKEN}"]


async def test_a_token_for_an_identity_token() -> None:
    async with two() as world:
        await world.repository(Login("me", identity_token=IDENTITY)).resolve()
    (asked,) = world.server.asked
    assert (asked.method, asked.path, asked.authorization) == ("POST", "/token", None)
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [IDENTITY],
        "service": ["r.example"],
        "scope": ["repository:team/app:pull"],
        "client_id": ["hostler"],
    }


@pytest.mark.parametrize("status", [404, 405])
async def test_a_password_is_posted_where_get_is_not_known(status: int) -> None:
    async with two(in_turn(saying(status), granting())) as world:
        await world.repository(ME).resolve()
    _, asked = world.server.asked
    assert (asked.method, asked.authorization) == ("POST", None)
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["password"],
        "username": ["me"],
        "password": [PASSWORD],
        "service": ["r.example"],
        "scope": ["repository:team/app:pull"],
        "client_id": ["hostler"],
    }


async def test_without_a_login_nothing_is_posted() -> None:
    async with two(saying(404)) as world:
        with pytest.raises(RegistryError, match=r"the token server of .*, answers 404 Not Found"):
            await world.repository().resolve()
    assert len(world.server.asked) == 1


async def test_what_is_posted_is_not_redirected() -> None:
    async with site(granting()) as other, two(saying(307, Location=other.url)) as world:
        with pytest.raises(RegistryError, match="answers 307 Temporary Redirect"):
            await world.repository(Login("", identity_token=IDENTITY)).resolve()
    assert other.asked == []


async def test_a_login_is_not_redirected_to_another_host() -> None:
    async with site(granting()) as other, two(saying(307, Location=other.url)) as world:
        await world.repository(ME).resolve()
    (asked,) = other.asked
    assert asked.authorization is None


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("", ["repository:team/app:pull"]),
        (',scope=""', ["repository:team/app:pull"]),
        (',scope="registry:catalog:*"', ["repository:team/app:pull"]),
        (',scope="repository:cache/team/app:pull,push"', ["repository:cache/team/app:pull"]),
        (',scope="repository:a:* repository:b:pull"', ["repository:a:pull repository:b:pull"]),
        (',scope="repository:h:5000/a:pull"', ["repository:h:5000/a:pull"]),
    ],
)
async def test_only_pulling_is_asked_for(said: str, scopes: list[str]) -> None:
    async with two(bearer=Bearer(scope=said)) as world:
        await world.repository().resolve()
    (asked,) = world.server.asked
    assert query(asked)["scope"] == scopes


async def test_a_realm_may_have_a_query() -> None:
    async with two() as world:
        world.bearer.realm = f"{world.server.url}/token?a=b%2Fc"
        await world.repository().resolve()
    (asked,) = world.server.asked
    assert asked.path.startswith("/token?a=b%2Fc&service=r.example&scope=repository")


@pytest.mark.parametrize(
    "answer", [{"access_token": TOKEN}, {"token": "", "access_token": TOKEN}, {"token": TOKEN}]
)
async def test_where_the_token_is(answer: dict[str, object]) -> None:
    async with two(saying(200, json.dumps(answer).encode())) as world:
        assert await world.repository().resolve() == MANIFEST_OF_BODY


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token":7}',
        b'{"token":"a\\r\\nX: 1"}',
        b'{"token":"a b"}',
        b"[" * 50_000,
        b"\xff",
    ],
)
async def test_answers_without_a_token(answer: bytes) -> None:
    async with two(saying(200, answer)) as world:
        with pytest.raises(RegistryError) as caught:
            await world.repository().resolve()
    assert str(caught.value) == (
        f"{world.server.host}, the token server of {world.registry.host}, answers with something"
        " that holds no token"
    )


async def test_a_token_may_be_long_but_not_endless() -> None:
    long = "x" * 8000
    async with two(granting(token=long), Bearer(good={long})) as world:
        await world.repository().resolve()
        world.server.handler = granting(token="x" * tokens.MAX_ANSWER)
        with pytest.raises(RegistryError, match="an answer of more than 1048576 bytes"):
            await world.repository(ME).resolve()


@pytest.mark.parametrize(
    ("status", "login", "says", "passes"),
    [
        (401, ME, "refuses the login 'me' (...)", False),
        (403, ME, "refuses the login 'me' (...)", False),
        (400, Login("", identity_token=IDENTITY), "refuses the login (...)", False),
        (
            401,
            None,
            "refuses to answer without a login (hidden-password): log in with `docker login HOST`"
            " or give the container repositoryCredentials",
            False,
        ),
        (418, ME, "answers 418 I'm a Teapot (...)", False),
        (429, ME, "wants fewer requests (429) (...)", True),
        (500, ME, "answers 500 Internal Server Error (...)", True),
    ],
)
async def test_refusals_of_the_token_server(
    status: int, login: Login | None, says: str, *, passes: bool
) -> None:
    secret = IDENTITY if login and login.identity_token else PASSWORD
    body = json.dumps({"details": secret}).encode()
    async with two(saying(status, body, Retry_After="3")) as world:
        with pytest.raises(RegistryError) as caught:
            await world.repository(login).resolve()
    says = says.replace("HOST", world.registry.host)
    assert str(caught.value) == (
        f"{world.server.host}, the token server of {world.registry.host}, {says}"
    )
    assert isinstance(caught.value, RegistryUnavailable) is passes
    if isinstance(caught.value, RegistryUnavailable):
        assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize("login", [ME, None])
async def test_a_token_that_does_not_help(login: Login | None) -> None:
    async with two(bearer=Bearer(good=set())) as world:
        with pytest.raises(RegistryError) as caught:
            await world.repository(login).resolve()
    used = "the login 'me' was used" if login else "no login was used"
    assert used in str(caught.value)
    assert len(world.server.asked) == 1
    assert len(world.registry.asked) == 2


def test_what_is_secret_is_not_shown() -> None:
    assert PASSWORD not in repr(ME)
    assert "hidden" not in repr(tokens.Token("hidden", fresh=True))
    assert "hidden" not in repr(replace(SETTINGS, environ={"HTTP_PROXY": "http://a:hidden@b"}))
