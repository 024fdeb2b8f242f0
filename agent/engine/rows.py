"""Rows of the state store as values: each is read by itself, one that can't be read costs no other.

Names and bodies are taken as bytes: text that is no UTF-8 is then one bad row and not the end of
the whole query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter

from agent.task.definition import TaskDefinition
from agent.task.model import Intent, Progress, TaskId
from agent.task.rebuilding import fits

T = TypeVar("T")
Row = tuple[object, ...]
"""Columns of a row, texts as bytes."""

Revision = tuple[str, int]
"""Family and revision of a task definition."""

INTENT: TypeAdapter[Intent] = TypeAdapter(Intent)
PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
DEFINITION: TypeAdapter[TaskDefinition] = TypeAdapter(TaskDefinition)

COLUMNS = {
    "definition": "CAST(family AS BLOB), revision, registered_at, CAST(body AS BLOB)",
    "intent": "CAST(task_id AS BLOB), CAST(body AS BLOB)",
    "progress": "CAST(task_id AS BLOB), CAST(body AS BLOB)",
    "host": "CAST(mark AS BLOB)",
    "deregistered": "CAST(family AS BLOB), revision, at",
}
"""What is read of each table."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A task definition with the revision it got."""

    definition: TaskDefinition
    revision: int
    registered_at: float


@dataclass(slots=True)
class Rows:
    """All that could be read; ``unread`` names what could not, without quoting any of it.

    An intent whose progress is not there, and the reverse, are halves of tasks.
    """

    definitions: dict[str, dict[int, Registered]] = field(default_factory=dict)
    intents: dict[TaskId, Intent] = field(default_factory=dict)
    progress: dict[TaskId, Progress] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    deregistered: dict[Revision, float] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def take(self, table: str, rows: Iterable[Row]) -> None:
        """The rows of one of the tables; intents before progress."""
        for row in rows:
            try:
                self._take(table, row)
            except (ValueError, TypeError):  # what is wrong may hold a secret
                self.unread.append(f"{table} {_name(row)}")

    def _take(self, table: str, row: Row) -> None:
        name = _bytes(row[0]).decode()
        if table == "host":
            self.marks.add(name)
        elif table == "deregistered":
            self.deregistered[name, int(str(row[1]))] = float(str(row[2]))
        else:
            self._take_body(table, name, row, _bytes(row[-1]))

    def _take_body(self, table: str, name: str, row: Row, body: bytes) -> None:
        if table == "definition":
            revision, at = int(str(row[1])), float(str(row[2]))
            registered = Registered(DEFINITION.validate_json(body), revision, at)
            self.definitions.setdefault(name, {})[revision] = registered
        elif table == "intent":
            intent = INTENT.validate_json(body)
            if intent.task.id != name:
                raise ValueError("it is another task's")
            self.intents[intent.task.id] = intent
        else:
            self._take_progress(TaskId(name), PROGRESS.validate_json(body))

    def _take_progress(self, task_id: TaskId, progress: Progress) -> None:
        intent = self.intents.get(task_id)
        if intent is not None and not fits(intent.task, progress):
            raise ValueError("it is another task's")
        self.progress[task_id] = progress


def read(db: sqlite3.Connection) -> Rows:
    """Everything, oldest first. Raises sqlite3.Error."""
    rows = Rows()
    for table, columns in COLUMNS.items():
        rows.take(table, db.execute(f"SELECT {columns} FROM {table} ORDER BY rowid"))  # noqa: S608
    return rows


def write(db: sqlite3.Connection, rows: Rows) -> None:
    """Everything but progress without an intent, into tables without it. Raises sqlite3.Error."""
    db.executemany("INSERT INTO definition VALUES (?, ?, ?, ?)", _definitions(rows))
    intents = ((key, dump(INTENT, each)) for key, each in rows.intents.items())
    db.executemany("INSERT INTO intent VALUES (?, ?)", intents)
    whole = (
        (key, dump(PROGRESS, each)) for key, each in rows.progress.items() if key in rows.intents
    )
    db.executemany("INSERT INTO progress VALUES (?, ?)", whole)
    db.executemany("INSERT INTO host VALUES (?)", ((each,) for each in rows.marks))
    gone = ((*revision, at) for revision, at in rows.deregistered.items())
    db.executemany("INSERT INTO deregistered VALUES (?, ?, ?)", gone)


def dump(adapter: TypeAdapter[T], value: T) -> str:
    """As a body of a row."""
    return adapter.dump_json(value, by_alias=True).decode()


def definition_body(definition: TaskDefinition) -> str:
    """The same for a task definition: only what was said."""
    return DEFINITION.dump_json(definition, by_alias=True, exclude_unset=True).decode()


def _definitions(rows: Rows) -> Iterator[Row]:
    for family, revisions in rows.definitions.items():
        for revision, each in revisions.items():
            yield family, revision, each.registered_at, definition_body(each.definition)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("it is not there")
    return value


def _name(row: Row) -> str:
    """What the row is about, as far as that can be read."""
    key = row[0]
    name = key.decode(errors="backslashreplace") if isinstance(key, bytes) else repr(key)
    return f"{name}:{row[1]}" if len(row) > 2 else name
