"""The routes of the credentials endpoint: who gets what, and the whole table of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from metadata.credentials import audit
from metadata.credentials.audit import Audit
from metadata.credentials.keys import Keys, Need
from metadata.credentials.room import PREFIXES, CredentialsRoom
from metadata.credentials.vault import Vault
from metadata.endpoint import Endpoint
from metadata.front.asking import NOT_FOUND, Answer, Asking
from metadata.front.limits import Rate
from metadata.source import Owner, RoleFacts, TaskFacts
from metadata.stats.sampler import Sampler
from tests.unit.metadata.conftest import listening
from tests.unit.metadata.facts import ARN, BARE_TASK, INSTANCE, OWNER, Picture

ROLE = "arn:aws:iam::111122223333:role/web"
EXECUTION = "arn:aws:iam::111122223333:role/execution"
NOW = 1_927_857_906.5  # 2031-02-03T04:05:06Z
HOST = Owner("host")
KEYS = Keys("AKID1", "secret", "token", NOW + 60)

MINE = replace(
    BARE_TASK, role=RoleFacts("id-mine", ROLE), execution_role=RoleFacts("id-execution", EXECUTION)
)
OTHERS = replace(BARE_TASK, owner=Owner("task-two"), role=RoleFacts("id-other", ROLE))


def on_host(number: int) -> TaskFacts:
    role = RoleFacts(f"id-{number}", ROLE, f"token-{number}")
    arn = f"{ARN}:task/lab/{number}"
    return replace(BARE_TASK, owner=HOST, network_mode="host", arn=arn, role=role)


@dataclass
class World:
    """A room, its vault, its log; keys that are as `keys` says, or an error."""

    log: Path
    tasks: list[TaskFacts] = field(default_factory=lambda: [MINE, OTHERS])
    given: Keys = KEYS
    now: float = NOW

    def __post_init__(self) -> None:
        self.source = Picture(self.tasks)
        self.vault = Vault(self.obtain, self.clock)
        self.audit = Audit(self.log, INSTANCE, self.clock)
        self.room = CredentialsRoom(self.source, self.vault, self.audit, self.clock)

    def clock(self) -> float:
        return self.now

    async def obtain(self, need: Need) -> Keys:
        return self.given

    async def have(self, *ids: str) -> None:
        for each in ids:
            await self.vault.obtain(Need(each, ROLE, BARE_TASK.arn))

    async def ask(self, target: str, owner: Owner = OWNER, token: str | None = None) -> Answer:
        path, _, query = target.partition("?")
        headers = {} if token is None else {"Authorization": token}
        return await self.room.answer(Asking(owner, "GET", path, query, headers, "10.0.0.7:1"))

    async def refusal(self, target: str, owner: Owner = OWNER, token: str | None = None) -> Any:
        answer = await self.ask(target, owner, token)
        body = json.loads(answer.body)
        assert answer.status == body["HTTPErrorCode"]
        assert list(body) == ["code", "message", "HTTPErrorCode"]
        assert answer.content_type == "application/json"
        assert self.logged()[-1].split()[1] == str(answer.status)
        assert self.logged()[-1].endswith(" -")
        return answer.status, body["code"], body["message"]

    def logged(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(audit, "_PATIENCE_S", 30.0)  # its lines are there, however busy the disk
    world = World(tmp_path / "audit.log")
    yield world
    world.audit.close()


@pytest.mark.parametrize("target", ["/v2/credentials/id-mine", "/v1/credentials?id=id-mine"])
async def test_a_task_gets_the_credentials_of_its_role(world: World, target: str) -> None:
    await world.have("id-mine")
    answer = await world.ask(target)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {
        "RoleArn": ROLE,
        "AccessKeyId": "AKID1",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2031-02-03T04:06:06Z",
    }
    assert f'"/{target[1:3]}/credentials" "" {MINE.arn} GetCredentials 2 lab' in world.logged()[0]


async def test_the_execution_role_is_had_by_its_own_id(world: World) -> None:
    await world.have("id-execution")
    answer = await world.ask("/v2/credentials/id-execution")
    assert json.loads(answer.body)["RoleArn"] == EXECUTION
    assert f"{MINE.arn} GetCredentialsExecutionRole 2 lab" in world.logged()[0]


async def test_keys_without_an_end_have_one_that_moves(world: World) -> None:
    world.given = Keys("AKID1", "secret")
    await world.have("id-mine")
    first = json.loads((await world.ask("/v2/credentials/id-mine")).body)
    assert (first["Token"], first["Expiration"]) == ("", "2031-02-03T05:05:06Z")
    world.now += 100
    later = json.loads((await world.ask("/v2/credentials/id-mine")).body)
    assert later["Expiration"] == "2031-02-03T05:06:46Z"


@pytest.mark.parametrize(
    ("target", "version"),
    [
        ("/v2/credentials/", 2),
        ("/v1/credentials", 1),
        ("/v1/credentials?id=", 1),
        ("/v1/credentials?other=1", 1),
    ],
)
async def test_a_request_without_an_id(world: World, target: str, version: int) -> None:
    refused = await world.refusal(target)
    assert refused[:2] == (400, "NoIdInRequest")
    assert refused[2].startswith(f"CredentialsV{version}Request: ")


@pytest.mark.parametrize("credentials_id", ["none", "id-other", "id-min", "%00", "\ud800"])
async def test_an_unknown_id_and_that_of_another_task_are_the_same(
    world: World, credentials_id: str
) -> None:
    await world.have("id-mine", "id-other")
    refused = await world.refusal(f"/v2/credentials/{credentials_id}")
    assert refused == (
        400,
        "InvalidIdInRequest",
        "CredentialsV2Request: no role of this task has the credentials id",
    )
    v1 = await world.refusal("/v1/credentials?id=id-other")
    assert v1[2].startswith("CredentialsV1Request: ")


async def test_a_role_that_was_withdrawn_is_unknown(world: World) -> None:
    await world.have("id-mine")
    world.source.every[0] = replace(MINE, role=None)
    assert (await world.refusal("/v2/credentials/id-mine"))[:2] == (400, "InvalidIdInRequest")


async def test_a_role_without_credentials_on_this_host_has_no_id(world: World) -> None:
    world.source.every[0] = replace(MINE, role=RoleFacts("", ROLE), execution_role=None)
    assert (await world.refusal("/v2/credentials/"))[:2] == (400, "NoIdInRequest")
    assert (await world.refusal("/v2/credentials/id-mine"))[:2] == (400, "InvalidIdInRequest")


async def test_before_they_are_here(world: World) -> None:
    refused = await world.refusal("/v2/credentials/id-mine")
    assert refused[:2] == (503, "CredentialsUninitialized")


async def test_after_they_expired(world: World) -> None:
    await world.have("id-mine")
    world.now += 60
    assert await world.refusal("/v2/credentials/id-mine") == (
        500,
        "InternalServerError",
        f"CredentialsV2Request: credentials of role {ROLE} are expired since "
        "2031-02-03T04:06:06Z: new ones are being obtained",
    )


@pytest.mark.parametrize(
    "path",
    ["/v2/credentials", "/v2/credentials/id-mine/", "/v2/credentials/a/b", "/v1/credentials/"],
)
async def test_paths_that_mean_nothing(world: World, path: str) -> None:
    assert await world.ask(path) is NOT_FOUND
    assert not world.log.exists()


async def test_on_the_host_each_task_needs_its_token(world: World) -> None:
    world.source.every[:] = [on_host(1), on_host(2)]
    await world.have("id-1", "id-2")
    for number in (1, 2):
        answer = await world.ask(f"/v2/credentials/id-{number}", HOST, f"token-{number}")
        assert answer.status == 200
    crossed = await world.refusal("/v2/credentials/id-1", HOST, "token-2")
    assert crossed == await world.refusal("/v2/credentials/none", HOST, "token-2")
    assert crossed[:2] == (400, "InvalidIdInRequest")


@pytest.mark.parametrize("token", [None, "", "token-3", "token-1 ", "Bearer token-1", "\udc80"])
async def test_without_a_token_nothing_is_told_of_ids(world: World, token: str | None) -> None:
    world.source.every[:] = [on_host(1), on_host(2)]
    await world.have("id-1", "id-2")
    refused = await world.refusal("/v2/credentials/id-1", HOST, token)
    assert refused == await world.refusal("/v2/credentials/none", HOST, token)
    assert refused == (
        401,
        "InvalidTokenInRequest",
        "CredentialsV2Request: the Authorization header has no token that this host knows",
    )


async def test_a_role_on_the_host_without_a_token_is_nobodys(world: World) -> None:
    world.source.every[:] = [replace(on_host(1), role=RoleFacts("id-1", ROLE))]
    await world.have("id-1")
    assert (await world.refusal("/v2/credentials/id-1", HOST, ""))[0] == 401


async def test_over_http_with_any_method_and_above_the_limit(world: World) -> None:
    sampler = Sampler()
    await world.have("id-mine")
    endpoint = Endpoint(
        world.source,
        sampler,
        Rate(0.001, 2),
        rooms=dict.fromkeys(PREFIXES, world.room),
        turned_away=world.audit.turned_away,
    )
    sock = listening()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    await endpoint.serve(sock, OWNER, "one")
    async with ClientSession(url) as session:
        for method, status in (("GET", 200), ("POST", 200), ("GET", 429)):
            async with session.request(method, "/v2/credentials/id-mine") as answer:
                assert answer.status == status
        async with session.get("/v1/credentials?id=id-mine") as answer:
            assert answer.status == 200
        async with session.get("/v1/none") as answer:
            assert answer.status == 404
    await endpoint.close_all()
    sampler.close()
    world.audit.close()
    assert [line.split()[1] for line in world.logged()] == ["200", "200", "429", "200"]
