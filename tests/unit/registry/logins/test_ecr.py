"""Logins for ECR: which hosts are its registries, and tokens from moto's server."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.aws import Aws, AwsError, AwsUnavailable, AwsUnusable, Question
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import ecr
from agent.registry.logins.ecr import ENTRIES, Ecr, EcrUnusable, Registry
from agent.registry.logins.login import Login
from metadata.credentials.keys import Keys
from tests import cloud

MINE = Registry("111122223333", "eu-west-1")
START = 1_900_000_000.0
ROLE = Keys("AKIDROLE", "hush", "hush")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", MINE),
        ("111122223333.DKR.ECR.eu-west-1.amazonaws.com", MINE),
        (
            "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            ("111122223333", "us-gov-west-1"),
        ),
        ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", ("111122223333", "cn-north-1")),
        ("111122223333.dkr-ecr.eu-west-1.on.aws", MINE),
        ("111122223333.dkr-ecr-fips.us-east-1.on.aws", ("111122223333", "us-east-1")),
        ("111122223333.dkr.ecr.eu-west-1.on.aws", None),
        ("111122223333.dkr-ecr.eu-west-1.amazonaws.com", None),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com:8443", None),
        ("111122223333.dkr.ecr.eu-west-1.evil.amazonaws.com", None),
        ("111122223333xdkr.ecr.eu-west-1.amazonaws.com", None),
        ("11112222333.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("evil.111122223333.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("public.ecr.aws", None),
        ("docker.io", None),
    ],
)
def test_which_hosts_are_private_registries(host: str, found: Registry | None) -> None:
    assert ecr.registry(host) == found


async def none() -> None:
    """The host's own keys."""


async def role() -> Keys:
    return ROLE


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cloud.served() as url:
        yield url


async def test_ecr_gives_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    cloud.alone(monkeypatch, tmp_path, url)
    aws = Aws()
    for keys in (none, role):
        found = await Ecr(aws).login(MINE, "", keys)
        assert found == Login("AWS", f"{MINE.id}-auth-token")
        assert "auth-token" not in repr(found)
    aws.close()


class Asked(Aws):
    """Answers by itself, after a moment in which all others get to run, with numbered tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Question] = []
        self.error: Exception | None = None
        self.answer: dict[str, Any] | None = None
        self.now = START
        self.life = 12 * 3600.0
        self.ecr = Ecr(self, lambda: self.now)

    async def ask(self, question: Question) -> dict[str, Any]:
        self.questions.append(question)
        token = b64encode(f"AWS:hush{len(self.questions)}".encode()).decode()
        for _ in range(3):
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        end = datetime.fromtimestamp(self.now + self.life, UTC)
        return self.answer or {
            "authorizationData": [{"authorizationToken": token, "expiresAt": end}]
        }


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_a_token_is_kept_until_shortly_before_its_end(asked: Asked) -> None:
    async def unneeded() -> None:
        raise AssertionError

    assert await asked.ecr.login(MINE, "", none) == Login("AWS", "hush1")
    asked.now += 11.5 * 3600 - 1
    assert await asked.ecr.login(MINE, "", unneeded) == Login("AWS", "hush1")
    asked.now += 1
    assert await asked.ecr.login(MINE, "", none) == Login("AWS", "hush2")
    assert "hush" not in repr(asked.ecr)


@pytest.mark.parametrize(
    ("life", "kept"), [(72 * 3600.0, 11.5 * 3600), (3600.0, 2400.0), (0.0, 0.0), (-60.0, 0.0)]
)
async def test_short_lived_and_long_lived_tokens(asked: Asked, life: float, kept: float) -> None:
    asked.life = life
    await asked.ecr.login(MINE, "", none)
    if kept:
        asked.now += kept - 1
        assert await asked.ecr.login(MINE, "", none) == Login("AWS", "hush1")
        asked.now += 1
    assert await asked.ecr.login(MINE, "", none) == Login("AWS", "hush2")


async def test_every_role_and_registry_has_a_token_of_its_own(asked: Asked) -> None:
    abroad, other = Registry(MINE.id, "us-east-1"), Registry("444455556666", MINE.region)
    keys = {"": none, "web": role, "db": none}
    wanted = [(MINE, ""), (MINE, "web"), (MINE, "db"), (abroad, ""), (other, "")]
    found = [await asked.ecr.login(each, name, keys[name]) for each, name in wanted]
    assert [each.password for each in found] == [f"hush{each}" for each in range(1, 6)]
    assert asked.questions[1].keys == ROLE
    assert [(each.region, each.parameters) for each in asked.questions] == [
        (each.region, {"registryIds": [each.id]}) for each, _ in wanted
    ]
    assert await asked.ecr.login(MINE, "web", none) == Login("AWS", "hush2")


async def test_many_at_once_ask_once(asked: Asked) -> None:
    found = await asyncio.gather(*(asked.ecr.login(MINE, "", none) for _ in range(10)))
    assert found == [Login("AWS", "hush1")] * 10
    assert len(asked.questions) == 1


async def test_what_was_not_used_for_longest_is_forgotten_first(asked: Asked) -> None:
    for number in range(ENTRIES):
        await asked.ecr.login(MINE, f"role{number}", none)
    await asked.ecr.login(MINE, "role0", none)
    await asked.ecr.login(MINE, "one more", none)
    assert len(asked.questions) == ENTRIES + 1
    assert await asked.ecr.login(MINE, "role0", none) == Login("AWS", "hush1")
    assert await asked.ecr.login(MINE, "role1", none) == Login("AWS", f"hush{ENTRIES + 2}")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AwsError("no"), RegistryError),
        (AwsUnavailable("not now"), RegistryUnavailable),
        (AwsUnusable("no boto3"), EcrUnusable),
    ],
)
async def test_a_refusal_is_told_and_not_kept(
    asked: Asked, error: AwsError, kind: type[RegistryError]
) -> None:
    asked.error = error
    with pytest.raises(RegistryError) as failed:
        await asked.ecr.login(MINE, "", none)
    assert type(failed.value) is kind
    told = "unable to get a login for the ECR registry 111122223333 in eu-west-1"
    assert str(failed.value) == f"{told}: {error}"
    asked.error = None
    assert await asked.ecr.login(MINE, "", none) == Login("AWS", "hush2")


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"authorizationToken": "aHVzaA==", "expiresAt": datetime.fromtimestamp(START, UTC)}],
        [{"authorizationToken": "/w==", "expiresAt": datetime.fromtimestamp(START, UTC)}],
        [{"authorizationToken": "aHVzaDpodXNo"}],
    ],
)
async def test_an_answer_without_a_token_is_said_to_be_one(asked: Asked, data: Any) -> None:
    asked.answer = {"authorizationData": data}
    with pytest.raises(RegistryError, match=r": its answer has no token$") as failed:
        await asked.ecr.login(MINE, "", none)
    assert failed.value.__cause__ is None


async def test_keys_that_cant_be_had_are_told(asked: Asked) -> None:
    async def unhappy() -> None:
        raise RegistryUnavailable("no keys now")

    with pytest.raises(RegistryUnavailable, match="no keys now"):
        await asked.ecr.login(MINE, "web", unhappy)
    assert asked.questions == []
