"""Which login a container's image is fetched with: the order, and that none goes astray."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.aws import Aws, AwsError, AwsUnavailable, AwsUnusable, Question
from agent.host.keyring import Keyrings
from agent.host.secrets import Secrets
from agent.host.standins import Folder
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import engine_auth
from agent.registry.logins.docker_config import DockerConfig
from agent.registry.logins.ecr import Ecr
from agent.registry.logins.login import Login
from agent.registry.reference import InvalidReference
from agent.task.model import Task
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys
from tests import cloud
from tests.unit.host import worlds
from tests.worlds import container

ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
ROLE = "arn:aws:iam::111122223333:role/exec"
ROLE_KEYS = Keys("AKIDROLE", "hush", "hush")
ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:login-AbC123"
SECRET = json.dumps({"username": "container", "password": "hush"})
ENGINE = json.dumps({"lab.example/team": {"username": "engine", "password": "hush"}})


class World(Aws):
    """AWS as the agent asks it, and a host's configuration."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.asked: list[Question] = []
        self.wrong: Exception | None = None
        self.secret = SECRET
        self.no_keys: CredentialsError | None = None
        self.keyrings = Keyrings(
            docker=DockerConfig(folder / "config.json"),
            engine=engine_auth.read("docker", ENGINE),
            ecr=Ecr(self, lambda: 1_900_000_000.0),
            secrets=Secrets((Folder(folder),), self),
            execution_keys=self._keys,
        )

    async def ask(self, question: Question) -> dict[str, Any]:
        self.asked.append(question)
        await asyncio.sleep(0)
        if self.wrong is not None:
            raise self.wrong
        if question.service == "secretsmanager":
            return {"SecretString": self.secret}
        who = "role" if question.keys else "host"
        token = b64encode(f"AWS:{who} hush".encode()).decode()
        end = datetime.fromtimestamp(1_900_043_200, UTC)
        return {"authorizationData": [{"authorizationToken": token, "expiresAt": end}]}

    async def _keys(self, task: Task) -> Keys | None:
        if self.no_keys is not None:
            raise self.no_keys
        return ROLE_KEYS if task.execution_role else None

    def configure(self, **logins: str) -> None:
        """Docker's configuration has these user names by registry."""
        auths = {host: {"username": name, "password": "hush"} for host, name in logins.items()}
        path = self.folder / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"auths": auths}))


WRONG = [(AwsError("no"), RegistryError), (AwsUnavailable("no"), RegistryUnavailable)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made(image: str = "lab.example/team/app", *, secret: str = "", role: bool = False) -> Task:
    fields: dict[str, Any] = {"image": image}
    if secret:
        fields["repositoryCredentials"] = {"credentialsParameter": secret}
    task = worlds.task(container("web", **fields), container("db"), executionRoleArn=ROLE)
    return replace(task, execution_credentials_id="id-2" if role else "")


async def test_the_hosts_own_logins_are_engine_auth_then_dockers(world: World) -> None:
    world.configure(**{"lab.example": "docker", "https://index.docker.io/v1/": "hub"})
    for keyring in (world.keyrings.host(), world.keyrings.of(made(), "web")):
        assert await keyring.login("lab.example", "team/app") == Login("engine", "hush")
        assert await keyring.login("lab.example", "other") == Login("docker", "hush")
        assert await keyring.login("docker.io", "library/hello") == Login("hub", "hush")
        assert await keyring.login("else.example", "team/app") is None
        assert await keyring.login("public.ecr.aws", "team/app") is None
    assert world.asked == []


async def test_a_containers_own_login_is_for_the_registry_of_its_image_alone(
    world: World,
) -> None:
    world.configure(**{"mirror.example": "docker"})
    keyring = world.keyrings.of(made(secret=ARN), "web")
    assert await keyring.login("lab.example", "team/app") == Login("container", "hush")
    assert await keyring.login("mirror.example", "team/app") == Login("docker", "hush")
    assert await keyring.login("else.example", "team/app") is None
    assert await keyring.login("lab.example:5000", "other") is None
    other = world.keyrings.of(made(secret=ARN), "db")
    assert await other.login("lab.example", "team/app") == Login("engine", "hush")


async def test_capitals_make_no_other_registry(world: World) -> None:
    keyring = world.keyrings.of(made("Lab.example/team/app", secret=ARN), "web")
    assert await keyring.login("lab.Example", "team/app") == Login("container", "hush")


async def test_an_image_of_docker_hub_has_its_own_login_there(world: World) -> None:
    keyring = world.keyrings.of(made("team/app", secret=ARN), "web")
    assert await keyring.login("docker.io", "team/app") == Login("container", "hush")


async def test_a_containers_own_login_beats_ecrs(world: World) -> None:
    keyring = world.keyrings.of(made(f"{ECR}/app", secret=ARN), "web")
    assert await keyring.login(ECR, "app") == Login("container", "hush")


@pytest.mark.parametrize(("role", "keys"), [(True, ROLE_KEYS), (False, None)])
async def test_the_execution_role_asks_or_else_the_host(
    world: World, role: bool, keys: Keys | None
) -> None:
    keyring = world.keyrings.of(made(secret=ARN, role=role), "web")
    assert await keyring.login("lab.example", "app") == Login("container", "hush")
    who = "role" if role else "host"
    assert await keyring.login(ECR, "app") == Login("AWS", f"{who} hush")
    assert [(each.service, each.keys) for each in world.asked] == [
        ("secretsmanager", keys),
        ("ecr", keys),
    ]


async def test_ecr_comes_before_what_is_kept_on_the_host(world: World) -> None:
    world.configure(**{ECR: "docker"})
    assert await world.keyrings.host().login(ECR, "app") == Login("AWS", "host hush")


async def test_roles_dont_share_what_ecr_gives(world: World) -> None:
    for role, who in ((True, "role"), (False, "host"), (True, "role")):
        keyring = world.keyrings.of(made(role=role), "web")
        assert await keyring.login(ECR, "app") == Login("AWS", f"{who} hush")
    assert len(world.asked) == 2


async def test_a_host_that_cant_ask_ecr_may_have_a_login_for_it(world: World) -> None:
    world.wrong = AwsUnusable("boto3 is not installed")
    with pytest.raises(RegistryError, match="boto3 is not installed"):
        await world.keyrings.host().login(ECR, "app")
    world.configure(**{ECR: "docker"})
    assert await world.keyrings.host().login(ECR, "app") == Login("docker", "hush")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(AwsError("no"), RegistryError), (AwsUnavailable("no"), RegistryUnavailable)],
)
async def test_whom_ecr_refuses_gets_no_other_login(
    world: World, wrong: Exception, kind: type[RegistryError]
) -> None:
    world.configure(**{ECR: "docker"})
    world.wrong = wrong
    with pytest.raises(RegistryError) as failed:
        await world.keyrings.of(made(role=True), "web").login(ECR, "app")
    assert type(failed.value) is kind
    told = "unable to get a login for the ECR registry 111122223333 in eu-west-1: no"
    assert str(failed.value) == told


@pytest.mark.parametrize(
    ("no_keys", "kind"),
    [
        (CredentialsError("no section"), RegistryError),
        (CredentialsUnavailable("no section"), RegistryUnavailable),
    ],
)
async def test_a_role_without_keys_is_told_and_nobody_asks_in_its_place(
    world: World, no_keys: CredentialsError, kind: type[RegistryError]
) -> None:
    world.no_keys = no_keys
    keyring = world.keyrings.of(made(secret=ARN, role=True), "web")
    with pytest.raises(RegistryError) as failed:
        await keyring.login(ECR, "app")
    assert (type(failed.value), str(failed.value)) == (kind, "no section")
    with pytest.raises(RegistryError) as failed:
        await keyring.login("lab.example", "team/app")
    told = f"unable to retrieve secret {ARN}: no section"
    assert (type(failed.value), str(failed.value)) == (kind, told)
    assert world.asked == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(AwsError("no"), RegistryError), (AwsUnavailable("no"), RegistryUnavailable)],
)
async def test_a_secret_that_cant_be_had_is_told_and_no_other_login_used(
    world: World, wrong: Exception, kind: type[RegistryError]
) -> None:
    world.configure(**{"lab.example": "docker"})
    world.wrong = wrong
    keyring = world.keyrings.of(made(secret=ARN), "web")
    with pytest.raises(RegistryError) as failed:
        await keyring.login("lab.example", "team/app")
    assert type(failed.value) is kind
    assert str(failed.value).startswith(f"unable to retrieve secret {ARN}: no")
    world.wrong = None
    assert await keyring.login("lab.example", "team/app") == Login("container", "hush")


@pytest.mark.parametrize(
    "text",
    [
        "hush",
        "",
        "[1]",
        "[" * 100_000,
        '{"username": "hush"}',
        '{"username": "", "password": "hush"}',
        '{"username": "a:b", "password": "hush"}',
        '{"username": 1, "password": "hush"}',
        '{"username": "hush", "password": "\\udead"}',
    ],
)
async def test_a_secret_of_another_form_is_told_without_being_quoted(
    world: World, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.secret = text
    with pytest.raises(RegistryError) as failed:
        await world.keyrings.of(made(secret=ARN), "web").login("lab.example", "app")
    told = f"secret {ARN} must be a JSON object with username and password, such as "
    assert str(failed.value).startswith(told)
    assert "hush" not in str(failed.value)
    assert "hush" not in caplog.text
    assert failed.value.__cause__ is None


async def test_a_pull_asks_for_each_login_once(world: World) -> None:
    keyring = world.keyrings.of(made(secret=ARN), "web")
    found = await asyncio.gather(*(keyring.login("lab.example", "app") for _ in range(5)))
    assert found == [Login("container", "hush")] * 5
    assert len(world.asked) == 1
    assert await keyring.login("else.example", "app") is None
    world.configure(**{"else.example": "docker"})
    assert await keyring.login("else.example", "app") is None
    another = world.keyrings.of(made(secret=ARN), "web")
    assert await another.login("else.example", "app") == Login("docker", "hush")


async def test_nothing_secret_is_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.configure(**{"lab.example": "docker"})
    keyring = world.keyrings.of(made(secret=ARN, role=True), "web")
    for host in ("lab.example", ECR, "else.example"):
        await keyring.login(host, "team/app")
    assert "hush" not in repr(keyring)
    assert "hush" not in repr(world.keyrings)
    assert "hush" not in caplog.text


def test_an_image_must_have_a_name(world: World) -> None:
    with pytest.raises(InvalidReference):
        world.keyrings.of(made("lab.example/App", secret=ARN), "web")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cloud.served() as url:
        yield url


async def test_the_whole_way_to_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, world: World
) -> None:
    cloud.alone(monkeypatch, tmp_path, url)
    kept = cloud.administrator("secretsmanager", url)
    arn = kept.create_secret(Name="login", SecretString=SECRET)["ARN"]
    aws = Aws()
    keyrings = replace(world.keyrings, ecr=Ecr(aws), secrets=Secrets((Folder(tmp_path),), aws))
    keyring = keyrings.of(made(secret=arn, role=True), "web")
    assert await keyring.login("lab.example", "app") == Login("container", "hush")
    assert await keyring.login(ECR, "app") == Login("AWS", "111122223333-auth-token")
    (tmp_path / "login").touch(mode=0o600)
    (tmp_path / "login").write_text(SECRET.replace("container", "local"))
    local = keyrings.of(made(secret=arn, role=True), "web")
    assert await local.login("lab.example", "app") == Login("local", "hush")
    aws.close()
