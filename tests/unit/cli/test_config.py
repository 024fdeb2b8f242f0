"""``hostler config`` and ``hostler agent --check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import config
from tests.unit.cli.conftest import Hostler


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hostler.config"
    path.write_text("ECS_CONTAINER_STOP_TIMEOUT=90s\nECS_DATADIR=/data\nECS_CONTANER_X=1\n")
    monkeypatch.setattr(config.read, "__defaults__", ((path,),))
    return path


def test_every_setting_is_shown_with_where_it_comes_from(bare: Hostler, file: Path) -> None:
    ran = bare("config", "--set", "HOSTLER_INTROSPECTION_LISTEN=off")
    assert ran.code == 0
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ran.out.splitlines()}
    assert set(lines) == set(config.names())
    assert lines["ECS_CONTAINER_STOP_TIMEOUT"] == ["1m30s", f"{file} line 1"]
    assert lines["HOSTLER_INTROSPECTION_LISTEN"] == ["off", "the command line"]
    assert lines["HOSTLER_BRIDGE"] == ["hostler0", "default"]
    assert lines["HOSTLER_ENIS"] == ["-", "default"]
    assert f"ECS_DATADIR ({file} line 2) has no effect: state is in HOSTLER_STATE_DIR" in ran.err
    assert f"warning: ECS_CONTANER_X ({file} line 3) is not known" in ran.err


def test_as_json_it_is_for_programs_and_secrets_are_hidden(bare: Hostler, file: Path) -> None:
    login = json.dumps({"lab": {"username": "u", "password": "hunter2"}})
    file.write_text(f"ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={login}\n")
    ran = bare("config", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert "hunter2" not in ran.out
    found = json.loads(ran.out)
    rows = {each["name"]: each for each in found["settings"]}
    assert rows["ECS_ENGINE_AUTH_DATA"]["value"] == "(hidden)"
    assert rows["ECS_ENGINE_AUTH_DATA"]["from"] == f"{file} line 2"
    assert (found["ignored"], found["warnings"]) == ([], [])


def test_settings_that_can_not_be_used_are_one_line(bare: Hostler, file: Path) -> None:
    file.write_text("ECS_LOGLEVEL=loud\n")
    for command, code in ((("config",), 1), (("agent", "--check"), 78)):
        ran = bare(*command)
        assert (ran.code, ran.out) == (code, "")
        assert ran.err.startswith(f"hostler: ECS_LOGLEVEL=loud ({file} line 1): must be crit")
        assert ran.err.count("\n") == 1


def test_checking_starts_nothing(bare: Hostler, file: Path) -> None:
    ran = bare("agent", "--check")
    assert (ran.code, ran.out) == (0, "the settings can be used\n")
    assert ran.err.startswith("hostler: warning: ECS_CONTANER_X")


@pytest.mark.parametrize("name", ["HOSTLER_ENIS", "HOSTLER_SECURITY_GROUPS", "HOSTLER_RUNTIMES"])
def test_files_that_settings_name_are_looked_at_too(
    bare: Hostler, file: Path, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    file.write_text(f"{name}={broken}\n")
    ran = bare("agent", "--check")
    assert (ran.code, ran.out) == (78, "")
    assert str(broken) in ran.err
