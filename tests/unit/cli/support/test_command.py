"""The command itself: what it prints for people, for programs, and on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import config
from agent.cli.support import agentside, commands, hostfiles
from agent.cli.support.pieces import File, Missing, Piece, Site
from tests.unit.cli.conftest import Hostler


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One piece, one that is missing, and no agent."""

    def lacking(_site: Site) -> Iterator[File]:
        raise Missing("nobody has it")

    monkeypatch.setattr(commands, "PIECES", (Piece("one", lambda _site: iter([("one.txt", "1")])),))
    monkeypatch.setattr(hostfiles, "PIECES", (Piece("two", lacking),))
    monkeypatch.setattr(agentside, "PIECES", ())
    monkeypatch.setattr(config.read, "__defaults__", ((),))
    monkeypatch.setattr(config.salvaged, "__defaults__", ((),))
    for name in ("HOSTLER_RUN_DIR", "HOSTLER_STATE_DIR", "HOSTLER_SECRETS_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("HOSTLER_DOCKER_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_it_ends_with_what_there_is_and_what_to_do(bare: Hostler, tmp_path: Path) -> None:
    ran = bare("support-bundle", "--output", "mine.tar.gz")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("mine.tar.gz (")
    assert "3 files; 3 things could not be had: see missing.txt in it)" in ran.out
    assert "Before you pass it on, look through" in ran.out


def test_its_name_tells_host_and_time(bare: Hostler, tmp_path: Path) -> None:
    assert bare("support-bundle").code == 0
    (made,) = tmp_path.glob("hostler-support-*.tar.gz")
    assert made.stat().st_mode & 0o077 == 0


def test_for_programs(bare: Hostler, tmp_path: Path) -> None:
    ran = bare("support-bundle", "-o", "mine.tar.gz", "--json")
    told = json.loads(ran.out)
    assert (told["file"], told["files"]) == ("mine.tar.gz", 3)
    assert told["bytes"] == (tmp_path / "mine.tar.gz").stat().st_size
    masking, tasks, two = told["missing"]
    assert masking == (
        f"masking: secrets in {tmp_path}: Is a directory are not known, so not masked by their"
        " values"
    )
    assert tasks.startswith("tasks: no agent answers on ")
    assert two == "two: nobody has it"


def test_secrets_are_known_whatever_is_wrong_with_a_setting(
    bare: Hostler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "db").write_text("correct-horse")
    monkeypatch.setenv("HOSTLER_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("HOSTLER_BRIDGE_SUBNET", "10.0.0.0/33")
    said: list[str] = []

    def telling(site: Site) -> Iterator[File]:
        said.append(site.masks.mask_all("it is correct-horse"))
        return iter(())

    monkeypatch.setattr(commands, "PIECES", (Piece("one", telling),))
    assert bare("support-bundle", "-o", "mine.tar.gz").code == 0
    assert said == ["it is (hidden)"]


def test_a_bar_where_a_person_looks(bare: Hostler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    ran = bare("support-bundle", "-o", "mine.tar.gz")
    assert "3/3" in ran.err
    assert "two" in ran.err
    assert "\x1b" not in ran.out
