"""What the state store teaches about secrets: of tasks that no agent tells of any more, or yet.

Log lines tell of tasks that are forgotten by now, and a bundle is wanted most when no agent runs.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.cli.support import shapes
from agent.cli.support.pieces import Missing, Site

MOST_ROWS = 2000
MOST_CHARACTERS = 32 * 1024 * 1024
READ_S = 10.0

_STEPS = 100_000
_OF_TASKS = ("definition", "overrides", "tags")
_CREDENTIALS = ("credentials_id", "execution_credentials_id", "credentials_token")


def learn_stored(site: Site) -> None:
    """What is hidden in the newest tasks and definitions of the store is masked in all pieces.

    Blocking. Raises Missing if the store can't be read, or not in time.
    """
    if not site.subject.exists(site.settings.state_dir / "state.db"):
        return
    hidden: list[str] = []
    try:
        for body in _bodies(site.subject.path(site.settings.state_dir / "state.db")):
            _learn(body, hidden)
    except sqlite3.Error as error:
        raise Missing(
            f"what tasks keep secret is not known, as the store is not: {error}"
        ) from None
    finally:
        site.masks.learn(hidden)


def _learn(body: Any, hidden: list[str]) -> None:
    task = body.get("task")
    if not isinstance(task, dict):
        shapes.masked(body, hidden)
        return
    shapes.masked({name: task.get(name) for name in _OF_TASKS}, hidden)
    hidden += [str(task[name]) for name in _CREDENTIALS if task.get(name)]


def _bodies(path: Path) -> Iterator[dict[str, Any]]:
    """Raises sqlite3.Error."""
    end, left = time.monotonic() + READ_S, MOST_CHARACTERS
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as db:
        db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        for table in ("intent", "definition"):
            asked = f"SELECT body FROM {table} ORDER BY rowid DESC LIMIT {MOST_ROWS}"  # noqa: S608
            for (text,) in db.execute(asked):
                left -= len(text)
                if left < 0:
                    return
                if isinstance(body := _parsed(text), dict):
                    yield body


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
