"""Docker's config.json and podman's auth.json, with real helpers, and files that are wrong."""

from __future__ import annotations

import json
import logging
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.docker_config import SIZE_LIMIT, DockerConfig, parse
from agent.registry.logins.login import Login
from tests.unit.registry.logins.helpers import Helpers

HUSH = b64encode(b"hush:hush").decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.touch(mode=0o600)
    return path


def config(path: Path, **members: Any) -> DockerConfig:
    path.write_text(json.dumps(members))
    return DockerConfig(path)


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": b64("me:hush")}, Login("me", "hush")),
        ({"auth": b64("me:a:b")}, Login("me", "a:b")),
        ({"auth": b64("me:")}, Login("me", "")),
        ({"auth": b64("me:hush\0\0")}, Login("me", "hush")),
        ({"auth": b64("mé:hüsh")}, Login("mé", "hüsh")),
        ({"auth": b64("me:hush"), "username": "you", "password": "x"}, Login("me", "hush")),
        ({"username": "me", "password": "hush", "email": "a@b.c"}, Login("me", "hush")),
        ({"auth": b64("me:"), "identitytoken": "hush"}, Login("me", "", "hush")),
        ({"identitytoken": "hush"}, Login("", "", "hush")),
        ({"auth": b64("<token>:hush")}, Login("", "", "hush")),
        ({"username": "<token>", "password": "hush"}, Login("", "", "hush")),
        ({}, None),
        ({"auth": "", "username": "", "password": ""}, None),
    ],
)
async def test_a_login_has_many_forms(path: Path, entry: Any, login: Login | None) -> None:
    docker = config(path, auths={"lab.example": entry})
    assert await docker.login("lab.example", "app") == login
    assert "hush" not in repr(docker)
    assert "hush" not in repr(login)


async def test_the_longest_registry_wins_and_empty_entries_are_none(path: Path) -> None:
    docker = config(
        path,
        auths={
            "https://index.docker.io/v1/": {"auth": b64("hub:x")},
            "lab.example": {"auth": b64("lab:x")},
            "lab.example/team": {"auth": b64("team:x")},
            "lab.example/team/app": {},
        },
        HttpHeaders={"User-Agent": "any"},
    )
    assert await docker.login("docker.io", "library/hello") == Login("hub", "x")
    assert await docker.login("lab.example", "other") == Login("lab", "x")
    assert await docker.login("lab.example", "team/app") == Login("team", "x")
    assert await docker.login("else.example", "team/app") is None


@given(
    username=st.text().filter(lambda each: ":" not in each and each not in ("", "<token>")),
    password=st.text().map(lambda each: each.rstrip("\0")),
    encoded=st.booleans(),
)
def test_any_text_may_be_a_login(username: str, password: str, *, encoded: bool) -> None:
    plain = {"username": username, "password": password}
    entry = {"auth": b64(f"{username}:{password}")} if encoded else plain
    read = parse(json.dumps({"auths": {"lab.example": entry}}).encode())
    assert read.logins == (("lab.example", Login(username, password)),)


NAMES = st.sampled_from(
    ["auths", "credHelpers", "credsStore", "auth", "username", "password", "identitytoken", "a.b"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just("hush") | st.just(HUSH) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


def refused(content: bytes) -> str:
    """Why it is, or "" if it is not."""
    try:
        parse(content)
    except ValueError as error:
        return f"{error} {error.__cause__}"
    return ""


@given(st.dictionaries(NAMES, JSON) | JSON)
def test_any_json_is_read_or_refused_without_being_quoted(document: object) -> None:
    told = refused(json.dumps(document).encode())
    assert "hush" not in told
    assert HUSH not in told
    assert told.endswith("None") or not told


@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    told = refused(content)
    assert told == "" or told.startswith(("is ", "line ", "must be a JSON object"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"auths":\n  {"hush"}}', "line 2 column 10: is not JSON"),
        ('["hush"]', "must be a JSON object"),
        ('{"auths": "hush"}', "auths: must be a JSON object"),
        (
            '{"auths": {"me:hush@lab.example": "hush"}}',
            "auths: lab.example: must be a JSON object",
        ),
        (
            '{"auths": {"lab.example": {"auth": 1}}}',
            "auths: lab.example: auth: must be text",
        ),
        (
            '{"auths": {"me:hush@lab.example": {"auth": "hush!"}}}',
            "auths: lab.example: its auth is not base64",
        ),
        (
            '{"auths": {"a": {"auth": "aHVzaA=="}}}',
            "auths: a: its auth is not base64 of user:password",
        ),
        ('{"auths": {"a": {"username": "b:c"}}}', "auths: a: its user name has a colon"),
        ('{"credHelpers": {"lab.example": 1}}', "credHelpers: lab.example: must be text"),
        ('{"credsStore": ["hush"]}', "credsStore: must be text"),
        ("[" * 100_000, "is nested too deeply"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "is not UTF-8 text"),
        (b" " * (SIZE_LIMIT + 1), f"has more than {SIZE_LIMIT} bytes"),
    ],
)
async def test_a_file_that_is_wrong_is_told_where_without_being_quoted(
    path: Path, text: str | bytes, told: str
) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(RegistryError) as failed:
        await DockerConfig(path).login("lab.example", "app")
    assert not isinstance(failed.value, RegistryUnavailable)
    assert str(failed.value) == f"{path}: {told}"
    assert failed.value.__cause__ is None


@pytest.mark.parametrize("text", ["", " \n", "{}", '\ufeff{"auths": null, "credHelpers": null}'])
async def test_a_file_may_have_nothing(path: Path, text: str) -> None:
    path.write_text(text)
    assert await DockerConfig(path).login("lab.example", "app") is None


async def test_a_file_may_be_lacking_come_change_and_go(path: Path) -> None:
    path.unlink()
    docker = DockerConfig(path)
    assert await docker.login("lab.example", "app") is None
    for number, name in enumerate(("one", "two"), 1):
        config(path, auths={"lab.example": {"auth": b64(f"{name}:x")}})
        # The kernel's own clock may not have moved on since.
        os.utime(path, ns=(number * 1_000_000, number * 1_000_000))
        assert await docker.login("lab.example", "app") == Login(name, "x")
    path.unlink()
    assert await docker.login("lab.example", "app") is None


async def test_an_unchanged_file_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = config(path, auths={"lab.example": {"auth": HUSH}})
    first = await docker.login("lab.example", "app")

    def refuse(content: bytes) -> None:
        raise AssertionError(content)

    monkeypatch.setattr("agent.registry.logins.docker_config.parse", refuse)
    assert await docker.login("lab.example", "app") is first


async def test_what_is_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for each in (tmp_path, fifo):
        with pytest.raises(RegistryError, match=f"{each}: is not a regular file"):
            await DockerConfig(each).login("lab.example", "app")


async def test_a_disk_that_fails_may_recover(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(RegistryUnavailable, match="loop can't be read: Too many levels of symbol"):
        await DockerConfig(loop).login("lab.example", "app")


async def test_a_file_with_logins_that_others_may_read_is_warned_of_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.chmod(0o644)
    docker = config(path, credsStore="", auths={"lab.example": {}})
    assert await docker.login("lab.example", "app") is None
    assert caplog.records == [], "it holds no login"
    for password in ("hush", "hushhush"):
        config(path, auths={"lab.example": {"auth": b64(f"me:{password}")}})
        assert await docker.login("lab.example", "app") == Login("me", password)
    told = f"{path} has logins and is open to others (mode 0644): chmod 600 it"
    assert [(each.levelno, each.message) for each in caplog.records] == [(logging.WARNING, told)]


async def test_a_private_file_is_not_warned_of(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await config(path, auths={"lab.example": {"auth": HUSH}}).login("lab.example", "app")
    assert caplog.records == []


async def test_a_registrys_helper_beats_the_store_which_beats_the_file(
    path: Path, helpers: Helpers
) -> None:
    helpers.add_store("one", **{"lab.example": "one hush"})
    helpers.add_store("all", **{"lab.example": "all hush", "https://index.docker.io/v1/": "hub x"})
    docker = config(
        path,
        credHelpers={"https://lab.example/": "one"},
        credsStore="all",
        auths={
            "lab.example": {"auth": b64("file:x")},
            "index.docker.io": {},
            "other.example": {"auth": b64("file:x")},
        },
    )
    assert await docker.login("lab.example", "app") == Login("one", "hush")
    assert await docker.login("docker.io", "library/hello") == Login("hub", "x")
    assert await docker.login("other.example", "app") == Login("file", "x"), "the store has none"
    assert await docker.login("else.example", "app") is None
    assert helpers.asked == [
        "one get lab.example",
        "all get https://index.docker.io/v1/",
        "all get other.example",
        "all get else.example",
    ]


@pytest.mark.parametrize(
    ("script", "kind"), [("exit 1", RegistryUnavailable), ("echo hush", RegistryError)]
)
async def test_a_helper_that_fails_is_told_with_the_file_that_names_it(
    path: Path, helpers: Helpers, script: str, kind: type[RegistryError]
) -> None:
    helpers.add("lab", script)
    docker = config(path, credsStore="lab", auths={"lab.example": {"auth": HUSH}})
    with pytest.raises(RegistryError) as failed:
        await docker.login("lab.example", "app")
    assert type(failed.value) is kind
    assert str(failed.value).startswith(f"{path}: docker-credential-lab ")
    assert "hush" not in str(failed.value)
