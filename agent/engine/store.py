"""What must survive: task definitions, intents and progress, in SQLite.

Everything is read into memory at opening, and memory changes only after the disk has
(``storefile``). Intents (written by the doors) and progress (written by each task's supervisor) are
two tables with one writer each. A damaged file does not keep the agent from starting.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from agent.engine.notes import Notes
from agent.engine.rows import INTENT, PROGRESS, Rows, definition_body, dump
from agent.engine.rows import Registered as Registered
from agent.engine.storefile import StoreError as StoreError
from agent.engine.storefile import StoreFile
from agent.task.definition import TaskDefinition
from agent.task.model import (
    Intent,
    Progress,
    Protection,
    StopRequest,
    Task,
    TaskId,
    first_progress,
)

T = TypeVar("T")


@dataclass(slots=True)
class Halves:
    """Tasks of which the store has lost the one half: their progress, or what was wanted of them.

    ``doubtful``: of the others it may have lost the last writes. Empty but after a mishap.
    """

    intents: dict[TaskId, Intent] = field(default_factory=dict)
    progress: dict[TaskId, Progress] = field(default_factory=dict)
    doubtful: bool = False


class Store:
    """The open store. Reads come from memory; every write is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._file = StoreFile(path)
        self._asking = asyncio.Lock()
        self._intents: dict[TaskId, Intent] = {}
        self._progress: dict[TaskId, Progress] = {}
        self._definitions: dict[str, dict[int, Registered]] = {}
        self.halves = Halves()
        self.notes = Notes(self._write)

    async def open(self) -> None:
        """Opens or makes the database, brings it up to date and reads it.

        What is damaged is put aside, and told; what could be read of it goes on, and ``halves``
        are for ``adopt``. Raises StoreError when another agent has it open, when a newer one wrote
        it, or when the disk can't be used; then it is closed.
        """
        opened = await self._file.open()
        self._take(opened.rows, doubtful=opened.doubtful)

    async def close(self) -> None:
        """Releases the database."""
        await self._file.close()

    @property
    def intents(self) -> Mapping[TaskId, Intent]:
        """Every task that is not forgotten, oldest first."""
        return MappingProxyType(self._intents)

    @property
    def open_tasks(self) -> list[TaskId]:
        """The tasks of which something may be left on the host."""
        return [each for each in self._intents if not self._progress[each].closed]

    def progress(self, task_id: TaskId) -> Progress:
        """What is known of a task. Raises KeyError if it was forgotten."""
        return self._progress[task_id]

    @property
    def definitions(self) -> Mapping[str, Mapping[int, Registered]]:
        """Registered task definitions: family, then revision."""
        return MappingProxyType(self._definitions)

    async def register(self, definition: TaskDefinition, now: float) -> Registered:
        """Keeps a task definition under the next revision of its family."""
        body = definition_body(definition)

        def write(db: sqlite3.Connection) -> int:
            row = db.execute(
                "INSERT INTO definition SELECT ?1, coalesce(max(revision), 0) + 1, ?2, ?3"
                " FROM definition WHERE family = ?1 RETURNING revision",
                (definition.family, now, body),
            ).fetchone()
            return int(row[0])

        revision = await self._write(write)
        registered = Registered(definition, revision, now)
        self._definitions.setdefault(definition.family, {})[revision] = registered
        return registered

    async def accept(self, *tasks: Task, waiting: Collection[TaskId] = ()) -> None:
        """Keeps new tasks, all of them or none; from now on they can't be lost.

        Those ``waiting`` don't have yet what they need of the host.
        """
        new = [(Intent(each), _first_progress(each, waiting)) for each in tasks]
        intents = [(each.task.id, dump(INTENT, each)) for each, _ in new]
        progress = [(each.task.id, dump(PROGRESS, first)) for each, first in new]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT INTO intent VALUES (?, ?)", intents)
            db.executemany("INSERT INTO progress VALUES (?, ?)", progress)

        await self._write(write)
        for intent, first in new:
            self._intents[intent.task.id], self._progress[intent.task.id] = intent, first

    async def adopt(
        self, found: Iterable[tuple[Intent, Progress]], definitions: Iterable[Registered] = ()
    ) -> None:
        """Keeps tasks that were found without a whole row here, and definitions told by them.

        All or none; of what is there already, tasks are replaced and definitions left.
        """
        tasks, told = list(found), list(definitions)
        intents = [(each.task.id, dump(INTENT, each)) for each, _ in tasks]
        progress = [(each.task.id, dump(PROGRESS, facts)) for each, facts in tasks]
        registered = [
            (each.definition.family, each.revision, each.registered_at, body)
            for each in told
            for body in [definition_body(each.definition)]
        ]

        def write(db: sqlite3.Connection) -> None:
            known = ((task_id,) for task_id, _ in intents)
            db.executemany("DELETE FROM progress WHERE task_id = ?", known)
            db.executemany(
                "INSERT INTO intent VALUES (?, ?)"
                " ON CONFLICT (task_id) DO UPDATE SET body = excluded.body",
                intents,
            )
            db.executemany("INSERT INTO progress VALUES (?, ?)", progress)
            db.executemany("INSERT OR IGNORE INTO definition VALUES (?, ?, ?, ?)", registered)

        await self._write(write)
        for intent, facts in tasks:
            self._intents[intent.task.id], self._progress[intent.task.id] = intent, facts
        for each in told:
            revisions = self._definitions.setdefault(each.definition.family, {})
            revisions.setdefault(each.revision, each)

    async def ask_to_stop(self, task_id: TaskId, request: StopRequest) -> None:
        """Keeps a request to stop. The first one's reason and time stay; ``force`` can be added."""
        async with self._asking:  # two requests at once must not both be the first
            intent = self._intents[task_id]
            if intent.stop is not None:
                request = replace(intent.stop, force=intent.stop.force or request.force)
            if request == intent.stop:
                return
            await self._want(replace(intent, stop=request))

    async def protect(self, task_id: TaskId, protection: Protection | None) -> None:
        """Keeps until when a task is protected, in the place of what was kept before."""
        async with self._asking:
            await self._want(replace(self._intents[task_id], protection=protection))

    async def save(self, task_id: TaskId, progress: Progress) -> None:
        """Keeps a task's progress."""
        body = dump(PROGRESS, progress)
        await self._write(
            lambda db: db.execute("UPDATE progress SET body = ? WHERE task_id = ?", (body, task_id))
        )
        self._progress[task_id] = progress

    async def forget(self, task_id: TaskId) -> None:
        """Drops a task for good."""
        await self._write(lambda db: db.execute("DELETE FROM intent WHERE task_id = ?", (task_id,)))
        self._intents.pop(task_id, None)
        self._progress.pop(task_id, None)

    async def check(self) -> None:
        """Raises StoreError if nothing could be written now, as far as shows without writing.

        A disk's wear is not to depend on how often somebody asks.
        """
        await self._file.check()

    async def answers(self) -> None:
        """Returns when the thread that writes has done what it was given before, if it is open."""
        await self._file.answers()

    async def _want(self, intent: Intent) -> None:
        body, task_id = dump(INTENT, intent), intent.task.id
        await self._write(
            lambda db: db.execute("UPDATE intent SET body = ? WHERE task_id = ?", (body, task_id))
        )
        self._intents[task_id] = intent

    async def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        return await self._file.write(change)

    def _take(self, rows: Rows, *, doubtful: bool) -> None:
        self._definitions = rows.definitions
        whole = [each for each in rows.intents if each in rows.progress]
        self._intents = {each: rows.intents.pop(each) for each in whole}
        self._progress = {each: rows.progress.pop(each) for each in whole}
        self.halves = Halves(rows.intents, rows.progress, doubtful)
        self.notes.take(rows)


def _first_progress(task: Task, waiting: Collection[TaskId]) -> Progress:
    first = first_progress(task)
    return replace(first, admitted_at=None) if task.id in waiting else first
