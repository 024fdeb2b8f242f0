"""What is secret in tasks that only the state store knows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli.support import stored
from agent.cli.support.masks import Masks
from agent.cli.support.pieces import Missing, Site
from agent.engine.database import connect, migrate
from tests.unit.host.checkup.lab import Host

STATE = "var/lib/hostler/state.db"
DEFINITION = {"family": "web", "containerDefinitions": [{"name": "a", "command": ["kept-secret"]}]}
TASK = {
    "id": "0a1b2c3d4e5f0a1b",
    "definition": {"containerDefinitions": [{"entryPoint": ["/no/such/secret-1"]}]},
    "overrides": {"containerOverrides": [{"environment": [{"name": "A", "value": "overriding"}]}]},
    "tags": [{"key": "owner", "value": "somebody-1"}],
    "credentials_id": "b7f9-credentials",
    "execution_credentials_id": "",
    "credentials_token": "b7f9-the-token",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    host = Host(tmp_path)
    host.folder("var/lib/hostler")
    return Site(host.subject, Path("/api.sock"), None, Masks())


def keep(site: Site, *, tasks: list[Any], definitions: list[Any]) -> None:
    with closing(connect(site.subject.path(STATE))) as db:
        migrate(db)
        for number, each in enumerate(definitions):
            row = ("web", number, 0.0, each if isinstance(each, str) else json.dumps(each))
            db.execute("INSERT INTO definition VALUES (?, ?, ?, ?)", row)
        for number, each in enumerate(tasks):
            db.execute("INSERT INTO intent VALUES (?, ?)", (f"{number}", json.dumps(each)))
        db.commit()


def test_a_store_that_is_not_there_teaches_nothing(site: Site) -> None:
    stored.learn_stored(site)
    assert site.masks.mask("kept-secret") == "kept-secret"


@pytest.mark.parametrize(
    "secret",
    [
        *("kept-secret", "/no/such/secret-1", "overriding", "somebody-1"),
        *("b7f9-credentials", "b7f9-the-token"),
    ],
)
def test_what_is_hidden_in_it_is_masked(site: Site, secret: str) -> None:
    keep(site, tasks=[{"task": TASK, "stop": None}], definitions=[DEFINITION])
    stored.learn_stored(site)
    assert site.masks.mask(f"exec: {secret} failed") == "exec: (hidden) failed"


def test_what_helps_is_not(site: Site) -> None:
    keep(site, tasks=[{"task": TASK, "stop": None}], definitions=[DEFINITION])
    stored.learn_stored(site)
    assert site.masks.mask("task 0a1b2c3d4e5f0a1b of web") == "task 0a1b2c3d4e5f0a1b of web"


def test_rows_that_cant_be_read_cost_no_other(site: Site) -> None:
    keep(site, tasks=[[], {"task": 1}], definitions=["{", DEFINITION, "[" * 100_000])
    stored.learn_stored(site)
    assert site.masks.mask("kept-secret") == "(hidden)"


def test_no_more_than_so_much_is_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(site, tasks=[], definitions=[{"command": ["the-oldest"]}, {"command": ["the-newest"]}])
    monkeypatch.setattr(stored, "MOST_CHARACTERS", 30)
    stored.learn_stored(site)
    assert site.masks.mask("the-newest, the-oldest") == "(hidden), the-oldest"


def test_a_store_that_is_none_is_told_of(site: Site) -> None:
    site.subject.path(STATE).write_text("not a database, and longer than the head of one " * 9)
    with pytest.raises(Missing, match="what tasks keep secret is not known, as the store is not"):
        stored.learn_stored(site)


def test_one_that_takes_too_long_is_told_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(site, tasks=[], definitions=[DEFINITION] * 500)
    monkeypatch.setattr(stored, "READ_S", -1.0)
    monkeypatch.setattr(stored, "_STEPS", 1)
    with pytest.raises(Missing, match="interrupted"):
        stored.learn_stored(site)
    with closing(sqlite3.connect(site.subject.path(STATE))) as db:
        assert db.execute("SELECT count(*) FROM definition").fetchone() == (500,)
