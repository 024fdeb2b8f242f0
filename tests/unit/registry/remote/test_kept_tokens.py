"""Tokens are kept, and each serves only what it was made for."""

import asyncio

import pytest
from aiohttp import web

from agent.registry.errors import RegistryError
from agent.registry.logins.login import Login
from agent.registry.remote import tokens
from tests.unit.registry.remote.bearer import (
    ME,
    Bearer,
    basic,
    granting,
    query,
    two,
)
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    Keys,
    descriptor_of,
    in_turn,
    named,
    saying,
    site,
    taken,
)


async def test_a_token_is_kept_for_its_repository_and_login() -> None:
    async with two() as world:
        for _ in range(2):
            await world.repository().resolve()
            await world.repository(ME).resolve()
        assert [each.authorization for each in world.server.asked] == [None, basic(ME)]
        await world.repository(Login("me", "another")).resolve()
        world.bearer.scope = ',scope="repository:team/other:pull"'
        await world.repository(rest="team/other:v1").resolve()
        assert len(world.server.asked) == 4


async def test_a_token_of_one_registry_does_not_serve_another() -> None:
    async with two() as world, site(world.bearer.registry) as second:
        await world.repository().resolve()
        await world.opened.repository(named(second.host), Keys()).resolve()
    assert len(world.server.asked) == 2


async def test_many_layers_ask_for_one_token() -> None:
    data = b"layer"
    async with two(bearer=Bearer(then=saying(200, data))) as world:
        repository = world.repository(ME)
        blobs = [descriptor_of(data)] * 8
        found = await asyncio.gather(*(taken(repository, blob) for blob in blobs))
    assert found == [data] * 8
    assert len(world.server.asked) == 1


async def test_a_token_that_ended_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(tokens, "monotonic", lambda: now)
    async with two(granting(expires_in=300)) as world:
        await world.repository().resolve()
        now += 299
        await world.repository().resolve()
        assert len(world.server.asked) == 1
        now += 1
        await world.repository().resolve()
        assert len(world.server.asked) == 2


@pytest.mark.parametrize(
    ("expires_in", "lifetime_s"),
    [
        *((None, 60), (-1, 60), (0, 60), ("300", 60), (0.5, 0.5), (float("nan"), 60)),
        *((10**9, 86400), (float("inf"), 86400)),
        pytest.param(10**400, 86400, id="no float"),
    ],
)
async def test_how_long_a_token_lives(
    monkeypatch: pytest.MonkeyPatch, expires_in: object, lifetime_s: float
) -> None:
    now = 1000.0
    monkeypatch.setattr(tokens, "monotonic", lambda: now)
    async with two(granting(expires_in=expires_in)) as world:
        await world.repository().resolve()
        now = 1000.0 + lifetime_s - 0.25
        await world.repository().resolve()
        assert len(world.server.asked) == 1
        now = 1000.0 + lifetime_s
        await world.repository().resolve()
        assert len(world.server.asked) == 2


async def test_a_kept_token_that_is_refused_is_replaced_once() -> None:
    async with two(in_turn(granting(token="old"), granting(token="new"))) as world:
        world.bearer.good = {"old"}
        await world.repository().resolve()
        world.bearer.good = {"new"}
        assert await world.repository().resolve() == MANIFEST_OF_BODY
        world.bearer.good = set()
        with pytest.raises(RegistryError, match="does not give"):
            await world.repository().resolve()
    assert len(world.server.asked) == 3
    assert [each.authorization for each in world.registry.asked] == [
        *(None, "Bearer old"),
        *(None, "Bearer old", "Bearer new"),
        *(None, "Bearer new", "Bearer new"),
    ]


async def test_challenges_that_never_end_come_to_an_end() -> None:
    """Each names another realm, all of whose tokens are kept."""

    async def server(request: web.BaseRequest) -> web.StreamResponse:
        return await granting(token=request.path)(request)

    async with two(server, Bearer(good={"/a", "/b"})) as world:
        for name in "ab":
            world.bearer.realm = f"{world.server.url}/{name}"
            await world.repository().resolve()
        world.bearer.good = set()
        count = 0

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal count
            count += 1
            world.bearer.realm = f"{world.server.url}/{'ab'[count % 2]}"
            return await world.bearer.registry(request)

        world.registry.handler = handler
        with pytest.raises(RegistryError, match="does not give"):
            await world.repository().resolve()
    assert count == 4
    assert len(world.server.asked) == 2


async def test_no_more_tokens_are_kept_than_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_KEPT", 2)
    async with two() as world:
        for name in ("a", "b", "a", "c", "a", "b"):
            world.bearer.scope = f',scope="repository:{name}:pull"'
            await world.repository().resolve()
    asked = [query(each)["scope"][0] for each in world.server.asked]
    assert asked == [f"repository:{name}:pull" for name in "abcb"]
