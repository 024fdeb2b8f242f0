"""Which values are known as secret, and from which files."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.support.known import Known
from agent.config import Loaded
from agent.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state_dir=tmp_path / "state",
        task_roles=tmp_path / "roles",
        docker_config=tmp_path / "docker.json",
        secrets_dir=tmp_path / "secrets",
        env_files_dir=tmp_path / "env-files",
    )


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def known(settings: Settings, **environ: str) -> Known:
    found = Known()
    found.gather(
        Loaded(settings, {}, environment={"AWS_SECRET_ACCESS_KEY": "of file"}), environ.items()
    )
    return found


def test_nothing_is_there(settings: Settings) -> None:
    found = known(settings)
    assert (found.values, found.unread) == (["of file"], [])


def test_the_environment_by_its_names(settings: Settings) -> None:
    found = known(settings, AWS_SESSION_TOKEN="st", HOME="/root", MY_PASSWORD="pw")
    assert found.values == ["of file", "st", "pw"]


def test_keys_of_the_api_and_of_roles(settings: Settings) -> None:
    put(settings.credentials, "[default]\naws_access_key_id = ID\naws_secret_access_key = api\n")
    put(settings.task_roles, "[default]\naws_secret_access_key = role\naws_session_token = tok\n")
    assert {"ID", "api", "role", "tok"} <= set(known(settings).values)


def test_a_file_of_keys_that_makes_no_sense_is_secret_as_a_whole(settings: Settings) -> None:
    put(settings.task_roles, "no section\nsecret = x\n")
    assert {"no section", "secret = x"} <= set(known(settings).values)


def test_logins(settings: Settings) -> None:
    auth = b64encode(b"user:docker-pw").decode()
    put(settings.docker_config, json.dumps({"auths": {"a.test": {"auth": auth}}}))
    engine = json.dumps({"b.test": {"username": "u", "password": "engine-pw", "email": ""}})
    given = replace(settings, engine_auth_type="docker", engine_auth_data=engine)
    values = known(given).values
    assert {"docker-pw", "user:docker-pw", "engine-pw", engine} <= set(values)


def test_logins_in_a_file_that_is_no_docker_config(settings: Settings) -> None:
    put(settings.docker_config, json.dumps({"auths": [{"auth": "somewhere"}]}))
    assert "somewhere" in known(settings).values


def test_stand_ins_for_secrets(settings: Settings) -> None:
    put(settings.secrets_dir / "shop/db", "correct horse\n")
    put(settings.secrets_dir / "shop/api", '{"key": "battery", "list": ["staple", 1]}')
    put(settings.env_files_dir / "b/web.env", "# not\nA=first\nB=se=cond\n")
    found = known(settings)
    assert {"correct horse\n", "battery", "staple"} <= set(found.values)
    assert found.others == ["first", "se=cond"]


def test_what_can_not_be_read_is_named(settings: Settings) -> None:
    settings.docker_config.mkdir()
    found = known(settings)
    assert found.unread == [f"{settings.docker_config}: Is a directory"]
