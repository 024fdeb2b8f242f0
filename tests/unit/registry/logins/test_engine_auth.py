"""The ECS agent's setting of logins: its two forms, its order, and data that is none."""

import json

import pytest

from agent.config import ConfigError, load
from agent.registry.logins import engine_auth
from agent.registry.logins.login import Login

HUSH = "aHVzaDpodXNo"  # hush:hush


def test_docker_has_names_and_passwords() -> None:
    data = {
        "https://index.docker.io/v1/": {"username": "me", "password": "hush", "email": "a@b.c"},
        "lab.example": {"username": "you", "password": ""},
        "lab.example/team": {"username": "team", "password": "hush"},
    }
    auth = engine_auth.read("docker", json.dumps(data))
    assert auth.login("docker.io", "library/hello") == Login("me", "hush")
    assert auth.login("lab.example", "other") == Login("you", "")
    assert auth.login("lab.example", "team/app") == Login("team", "hush")
    assert auth.login("else.example", "team/app") is None
    assert "hush" not in repr(auth)


def test_dockercfg_has_both_in_base64() -> None:
    auth = engine_auth.read("dockercfg", json.dumps({"lab.example": {"auth": HUSH, "email": ""}}))
    assert auth.login("lab.example", "app") == Login("hush", "hush")


@pytest.mark.parametrize("form", ["", "docker", "dockercfg"])
def test_without_data_there_are_none(form: str) -> None:
    assert engine_auth.read(form, "").login("docker.io", "library/hello") is None


@pytest.mark.parametrize(
    ("form", "data", "told"),
    [
        ("docker", '{"a": hush', "is not JSON"),
        ("docker", "[" * 100_000, "is not JSON"),
        ("docker", '["hush"]', "must be a JSON object of registries"),
        ("docker", '{"a": "hush"}', "registry 1 of 1: it must have a username and a password"),
        (
            "docker",
            '{"a": {"username": "b", "password": "c"}, "hush": {"username": "hush"}}',
            "registry 2 of 2: it must have a username and a password",
        ),
        ("docker", '{"a": {"username": "", "password": "hush"}}', "registry 1 of 1: it must have"),
        ("docker", '{"a": {"username": "b:hush", "password": "c"}}', "its user name has a colon"),
        ("docker", '{"a": {"username": "b", "password": "\\ud800"}}', "it is not Unicode text"),
        ("dockercfg", f'{{"auths": {{"a": {{"auth": "{HUSH}"}}}}}}', "below auths"),
        ("dockercfg", '{"a": {"auth": "hush!"}}', "registry 1 of 1: its auth is not base64"),
        ("dockercfg", '{"a": {"auth": "/w=="}}', "its auth is not base64"),
        ("dockercfg", '{"a": {"auth": "aHVzaA=="}}', "its auth is not base64 of user:password"),
        ("dockercfg", '{"a": {"auth": "OmEK"}}', "its auth is not base64 of user:password"),
        ("", "hush", "ECS_ENGINE_AUTH_TYPE must say its form, docker or dockercfg"),
    ],
)
def test_data_that_is_wrong_ends_the_start_and_is_not_shown(
    form: str, data: str, told: str
) -> None:
    flags = {"ECS_ENGINE_AUTH_TYPE": form, "ECS_ENGINE_AUTH_DATA": data}
    with pytest.raises(ConfigError) as refused:
        load(flags, {}, ())
    said = str(refused.value)
    assert said.startswith("ECS_ENGINE_AUTH_DATA: ")
    assert told in said
    assert "hush" not in said
    assert HUSH not in said
    assert refused.value.__cause__ is None
