"""Secrets from files of this host, and from Secrets Manager (moto's server)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.aws import Aws, AwsError, AwsUnavailable, Question
from agent.host.secrets import SIZE_LIMIT, SecretError, Secrets, SecretUnavailable
from agent.host.standins import Folder, secret_folders
from agent.task.definition.value_from import ParameterId, SecretId, secret_id, value_from
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys
from tests import cloud

ARN = "arn:aws:secretsmanager:eu-north-1:111122223333:secret:"
HUSH = '{"username": "me", "password": "hush"}'


def in_arn(name: str) -> SecretId:
    """A secret asked for by its ARN, which ends in ``name``."""
    return SecretId(f"{ARN}{name}", name, "eu-north-1")


@pytest.mark.parametrize(
    ("text", "name", "files"),
    [
        ("login", SecretId("login", "login"), ["login"]),
        ("lab/in-AbC123", SecretId("lab/in-AbC123", "lab/in-AbC123"), ["lab/in-AbC123"]),
        (f"{ARN}login-AbC123", in_arn("login-AbC123"), ["login-AbC123", "login"]),
        (f"{ARN}a/b-AbC123", in_arn("a/b-AbC123"), ["a/b-AbC123", "a/b"]),
        (f"{ARN}login", in_arn("login"), ["login"]),
        (f"{ARN}-AbC123", in_arn("-AbC123"), ["-AbC123"]),
    ],
)
def test_a_secret_has_a_name_or_an_arn(text: str, name: SecretId, files: list[str]) -> None:
    assert secret_id(text) == name
    assert list(name.files) == files


class Manager(Aws):
    """Secrets Manager, which answers with one secret or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Question] = []
        self.answer: dict[str, Any] = {"SecretString": "from afar"}
        self.error: AwsError | None = None

    async def ask(self, question: Question) -> dict[str, Any]:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


@pytest.fixture
def secrets(folder: Path, manager: Manager) -> Secrets:
    return Secrets((Folder(folder),), manager, "eu-west-1")


def put(path: Path, content: str | bytes = HUSH) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


async def none() -> None:
    """The host's own keys."""


async def unneeded() -> Keys:
    raise AssertionError("keys are not needed for what is in a file")


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("login", "login"),
        ("lab/login", "lab/login"),
        ("login-AbC123", "login-AbC123"),
        (f"{ARN}login-AbC123", "login-AbC123"),
        (f"{ARN}login-AbC123", "login"),
        (f"{ARN}lab/login-AbC123", "lab/login"),
    ],
)
async def test_a_file_stands_in_for_a_secret(
    secrets: Secrets, folder: Path, asked: str, file: str
) -> None:
    put(folder / file)
    assert await secrets.text(asked, unneeded) == HUSH


async def test_the_whole_name_comes_first_and_the_first_folder(
    folder: Path, tmp_path: Path, manager: Manager
) -> None:
    second = tmp_path / "second"
    secrets = Secrets((Folder(folder), Folder(second)), manager)
    put(second / "login-AbC123", "second")
    assert await secrets.text(f"{ARN}login-AbC123", unneeded) == "second"
    put(folder / "login", "short")
    assert await secrets.text(f"{ARN}login-AbC123", unneeded) == "short"
    put(folder / "login-AbC123", "long")
    assert await secrets.text(f"{ARN}login-AbC123", unneeded) == "long"


@pytest.mark.parametrize(
    ("content", "text"), [("a\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("", ""), ("é", "é")]
)
async def test_one_end_of_line_at_the_end_is_the_editors(
    secrets: Secrets, folder: Path, content: str, text: str
) -> None:
    put(folder / "login", content)
    assert await secrets.text("login", unneeded) == text


def test_systemds_folder_is_one_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert secret_folders(Path("/etc/x")) == (Folder(Path("/etc/x")),)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    systemds = Folder(Path("/run/credentials/x"), flat=True)
    assert secret_folders(Path("/etc/x")) == (Folder(Path("/etc/x")), systemds)


async def failing(secrets: Secrets, asked: str) -> str:
    """What is told of a secret that can't be had until somebody does something."""
    with pytest.raises(SecretError) as failed:
        await secrets.text(asked, unneeded)
    assert not isinstance(failed.value, SecretUnavailable)
    assert failed.value.__cause__ is None
    before = f"unable to retrieve secret {asked}: "
    assert str(failed.value).startswith(before)
    why = str(failed.value).removeprefix(before)
    assert "hush" not in why
    return why


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660, 0o610])
async def test_a_file_that_others_may_open_is_refused(
    secrets: Secrets, folder: Path, mode: int
) -> None:
    path = folder / "login"
    put(path)
    path.chmod(mode)
    told = f"{path} is open to others (mode {mode:04o}): chmod 600 {path}"
    assert await failing(secrets, "login") == told


async def test_a_file_of_another_user_is_refused(secrets: Secrets, folder: Path) -> None:
    path = folder / "login"
    put(path)
    os.chown(path, 12345, -1)
    assert await failing(secrets, "login") == f"{path} does not belong to root: chown root {path}"


async def test_a_fifo_is_refused_at_once(secrets: Secrets, folder: Path) -> None:
    os.mkfifo(folder / "login", mode=0o600)
    assert await failing(secrets, "login") == f"{folder}/login is not a regular file"


async def test_a_symlink_that_leads_out_is_refused(
    secrets: Secrets, folder: Path, tmp_path: Path
) -> None:
    put(tmp_path / "outside")
    (folder / "login").symlink_to(tmp_path / "outside")
    (folder / "lab").symlink_to(tmp_path)
    for asked in ("login", "lab/outside"):
        why = await failing(secrets, asked)
        assert why == f"{folder}/{asked} leads out of {folder}: put the file itself there"


async def test_a_symlink_that_stays_inside_is_followed(secrets: Secrets, folder: Path) -> None:
    put(folder / "login")
    (folder / "other").symlink_to("login")
    assert await secrets.text("other", unneeded) == HUSH


@pytest.mark.parametrize("content", [b"\xff", b"x" * (SIZE_LIMIT + 1)])
async def test_a_file_that_is_no_secret_is_refused(
    secrets: Secrets, folder: Path, content: bytes
) -> None:
    put(folder / "login", content)
    told = ("is not UTF-8 text", f"has more than {SIZE_LIMIT} bytes")
    assert (await failing(secrets, "login")).endswith(told)


async def test_a_disk_that_fails_may_recover(secrets: Secrets, folder: Path) -> None:
    (folder / "login").symlink_to("login")
    with pytest.raises(SecretUnavailable, match="login can't be read: Too many levels of symbol"):
        await secrets.text("login", unneeded)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "a b",
        "a\0b",
        "a:b",
        "é",
        "x" * 513,
        "arn:aws:ssm:eu-north-1:111122223333:parameter/login",
        f"{ARN}login-AbC123:password::",
        f"{ARN}",
        "arn:aws:secretsmanager:eu-north-1:1:secret:login",
    ],
)
async def test_what_names_no_secret_is_refused(secrets: Secrets, asked: str) -> None:
    with pytest.raises(SecretError, match="neither a name nor an ARN of a secret in Secrets Man"):
        await secrets.text(asked, unneeded)


@pytest.mark.parametrize(
    "asked", ["../outside", "/etc/passwd", "lab/../../outside", ".", "..", "a//b", "./a", "a/"]
)
async def test_no_name_leads_out_of_the_folder(
    secrets: Secrets, manager: Manager, tmp_path: Path, asked: str
) -> None:
    put(tmp_path / "outside")
    assert await secrets.text(asked, none) == "from afar"
    assert manager.asked[0].parameters == {"SecretId": asked}


@pytest.mark.parametrize(
    ("asked", "region"),
    [("login", "eu-west-1"), ("lab/login", "eu-west-1"), (f"{ARN}login-AbC123", "eu-north-1")],
)
async def test_without_a_file_secrets_manager_is_asked(
    secrets: Secrets, folder: Path, manager: Manager, asked: str, region: str
) -> None:
    async def keys() -> Keys:
        return Keys("AKIDROLE", "hush")

    put(folder / "log", "beside")
    (folder / "login").mkdir()
    (folder / "lab").touch(mode=0o600)
    assert await secrets.text(asked, keys) == "from afar"
    (question,) = manager.asked
    assert question == Question(
        "secretsmanager", "get_secret_value", {"SecretId": asked}, region, await keys()
    )


async def test_a_name_that_no_file_can_have_is_asked_for_afar(
    secrets: Secrets, manager: Manager
) -> None:
    assert await secrets.text("n" * 512, none) == "from afar"


async def test_without_a_folder_too(tmp_path: Path, manager: Manager) -> None:
    assert await Secrets((Folder(tmp_path / "none"),), manager).text("login", none) == "from afar"


@pytest.mark.parametrize(
    ("error", "kind"), [(AwsError("no"), SecretError), (AwsUnavailable("no"), SecretUnavailable)]
)
async def test_a_refusal_is_told_with_where_a_file_would_be(
    secrets: Secrets, folder: Path, manager: Manager, error: AwsError, kind: type[SecretError]
) -> None:
    manager.error = error
    with pytest.raises(SecretError) as failed:
        await secrets.text("login", none)
    assert type(failed.value) is kind
    told = f"unable to retrieve secret login: no; there is no file for it in {folder}"
    assert str(failed.value) == told


@pytest.mark.parametrize(
    ("error", "kind"),
    [(CredentialsError("x"), SecretError), (CredentialsUnavailable("x"), SecretUnavailable)],
)
async def test_keys_that_cant_be_had_are_told(
    secrets: Secrets, manager: Manager, error: CredentialsError, kind: type[SecretError]
) -> None:
    async def keys() -> Keys:
        raise error

    with pytest.raises(SecretError, match="unable to retrieve secret login: x") as failed:
        await secrets.text("login", keys)
    assert type(failed.value) is kind
    assert manager.asked == []


async def test_a_secret_of_bytes_is_no_text(secrets: Secrets, manager: Manager) -> None:
    manager.answer = {"SecretBinary": b"hush"}
    with pytest.raises(SecretError, match=r": it holds bytes, not text$"):
        await secrets.text("login", none)


STORE = "arn:aws:ssm:eu-north-1:111122223333:parameter/"


def parameter(text: str) -> ParameterId:
    kept = value_from(text).kept
    assert isinstance(kept, ParameterId)
    return kept


def told(found: str | SecretError) -> str:
    """Why there is no text; not for now."""
    assert type(found) is SecretError
    return str(found)


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("db", "db"),
        ("db:3", "db"),
        ("/app/db", "app/db"),
        (f"{STORE}app/db", "app/db"),
        (f"{STORE}db:live", "db"),
    ],
)
async def test_a_file_stands_in_for_a_parameter(
    secrets: Secrets, folder: Path, asked: str, file: str
) -> None:
    put(folder / file)
    (found,) = (await secrets.parameters([parameter(asked)], unneeded)).values()
    assert found == HUSH


@pytest.mark.parametrize("asked", ["/app/db", f"{STORE}app/db"])
async def test_in_systemds_folder_there_are_no_folders(
    folder: Path, manager: Manager, asked: str
) -> None:
    put(folder / "app_db")
    secrets = Secrets((Folder(folder, flat=True),), manager)
    (found,) = (await secrets.parameters([parameter(asked)], unneeded)).values()
    assert found == HUSH
    assert await secrets.text(f"{ARN}app/db-AbC123", unneeded) == HUSH


async def test_parameters_are_asked_for_ten_at_a_time_and_by_region(
    secrets: Secrets, folder: Path, manager: Manager
) -> None:
    put(folder / "p3")
    manager.answer = {
        "Parameters": [
            {"Name": f"p{number}", "Value": str(number), "ARN": f"{STORE}p{number}"}
            for number in range(11)
        ]
        + [{"Name": "p1", "Value": "old", "ARN": f"{STORE}p1", "Selector": ":1"}],
    }
    wanted = [parameter(f"p{number}") for number in range(12)]
    wanted += [parameter(f"{STORE}p1"), parameter("p1:1"), parameter("p1")]
    found = await secrets.parameters(wanted, none)
    assert found[parameter("p1")] == "1"
    assert found[parameter("p1:1")] == "old"
    assert found[parameter("p3")] == HUSH
    assert found[parameter(f"{STORE}p1")] == "1"
    assert told(found[parameter("p11")]) == (
        "unable to retrieve parameter p11: there is no such parameter in eu-west-1, "
        f"and there is no file for it in {folder}"
    )
    asked = [(each.region, len(each.parameters["Names"])) for each in manager.asked]
    assert sorted(asked) == [("eu-north-1", 1), ("eu-west-1", 2), ("eu-west-1", 10)]
    assert all(each.parameters["WithDecryption"] for each in manager.asked)


async def test_a_question_that_fails_has_failed_for_each(
    secrets: Secrets, folder: Path, manager: Manager
) -> None:
    put(folder / "here")
    put(folder / "open")
    (folder / "open").chmod(0o644)
    manager.error = AwsUnavailable("slow")
    wanted = [parameter(each) for each in ("here", "a", "b", "open")]
    found = await secrets.parameters(wanted, none)
    assert found[wanted[0]] == HUSH
    for each in wanted[1:3]:
        assert isinstance(found[each], SecretUnavailable)
        assert str(found[each]).startswith(f"unable to retrieve parameter {each.id}: slow; there")
    assert told(found[wanted[3]]).startswith("unable to retrieve parameter open: ")


async def test_a_version_of_a_secret_is_asked_for(secrets: Secrets, manager: Manager) -> None:
    await secrets.secret(SecretId("a", "a", "eu-north-1", "OLD", "v-1"), none)
    asked = {"SecretId": "a", "VersionStage": "OLD", "VersionId": "v-1"}
    assert manager.asked[0].parameters == asked


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cloud.served() as url:
        yield url


async def test_secrets_manager_gives_what_it_has(
    monkeypatch: pytest.MonkeyPatch, folder: Path, url: str
) -> None:
    cloud.alone(monkeypatch, folder, url)
    kept = cloud.administrator("secretsmanager", url)
    arn = kept.create_secret(Name="lab/login", SecretString=json.dumps({"a": "hush"}))["ARN"]
    aws = Aws()
    secrets = Secrets((Folder(folder),), aws, cloud.REGION)
    assert await secrets.text("lab/login", none) == '{"a": "hush"}'
    assert await Secrets((Folder(folder),), aws).text(arn, none) == '{"a": "hush"}'
    with pytest.raises(SecretError) as failed:
        await secrets.text("lab/none", none)
    assert "secretsmanager refuses GetSecretValue" in str(failed.value)
    assert "(ResourceNotFoundException)" in str(failed.value)
    aws.close()


async def test_the_parameter_store_gives_what_it_has(
    monkeypatch: pytest.MonkeyPatch, folder: Path, url: str
) -> None:
    cloud.alone(monkeypatch, folder, url)
    kept = cloud.administrator("ssm", url)
    kept.put_parameter(Name="/app/db", Value="hush", Type="SecureString")
    kept.put_parameter(Name="plain", Value="old", Type="String")
    kept.put_parameter(Name="plain", Value="new", Type="String", Overwrite=True)
    arn = kept.get_parameter(Name="/app/db")["Parameter"]["ARN"]
    aws = Aws()
    secrets = Secrets((Folder(folder),), aws, cloud.REGION)
    wanted = [parameter(each) for each in ("/app/db", arn, "plain", "none")]
    found = await secrets.parameters(wanted, none)
    assert [found[each] for each in wanted[:3]] == ["hush", "hush", "new"]
    assert "no such parameter in eu-west-1" in told(found[wanted[3]])
    aws.close()
