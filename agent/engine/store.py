"""What must survive: task definitions, intents and progress, in SQLite.

One thread owns the connection; everything is read into memory at opening, and memory changes only
after the disk has. Intents (written by the doors) and progress (written by each task's supervisor)
are two tables with one writer each. WAL with ``synchronous=FULL``: what was answered is on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TextIO, TypeVar

from pydantic import TypeAdapter

from agent.engine.schema import MIGRATIONS
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

WRITE_DEADLINE_S = 30.0
"""A disk that takes longer than this to commit a few kilobytes is broken; the agent must say so."""

LEAST_SPACE = 2**20
"""Bytes; some hundred writes."""

T = TypeVar("T")

_INTENT: TypeAdapter[Intent] = TypeAdapter(Intent)
_PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
_DEFINITION: TypeAdapter[TaskDefinition] = TypeAdapter(TaskDefinition)


class StoreError(Exception):
    """The state store can't be opened, read or written; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A task definition with the revision it got."""

    definition: TaskDefinition
    revision: int
    registered_at: float


class Store:
    """The open store. Reads come from memory; every write is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._asking = asyncio.Lock()
        self._lock: TextIO | None = None
        self._db: sqlite3.Connection | None = None
        self._intents: dict[TaskId, Intent] = {}
        self._progress: dict[TaskId, Progress] = {}
        self._definitions: dict[str, dict[int, Registered]] = {}

    async def open(self) -> None:
        """Opens or makes the database, brings it up to date and reads it.

        Raises StoreError when another agent has it open, or when it can't be used; then it is
        closed.
        """
        try:
            await self._run(self._open)
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the thread and releases the database."""
        await self._run(self._close)
        self._thread.shutdown()

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
        body = _DEFINITION.dump_json(definition, by_alias=True, exclude_unset=True).decode()

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

    async def accept(self, *tasks: Task) -> None:
        """Keeps new tasks, all of them or none; from now on they can't be lost."""
        new = [(Intent(task), first_progress(task)) for task in tasks]
        intents = [(each.task.id, _dump(_INTENT, each)) for each, _ in new]
        progress = [(each.task.id, _dump(_PROGRESS, first)) for each, first in new]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT INTO intent VALUES (?, ?)", intents)
            db.executemany("INSERT INTO progress VALUES (?, ?)", progress)

        await self._write(write)
        for intent, first in new:
            self._intents[intent.task.id], self._progress[intent.task.id] = intent, first

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
        body = _dump(_PROGRESS, progress)
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
        await self._write(lambda db: None)
        await self._run(self._check_space)

    def _check_space(self) -> None:
        try:
            found = os.statvfs(self._path.parent)
        except OSError as error:
            raise StoreError(f"can't look at {self._path.parent}: {error}") from error
        if found.f_flag & os.ST_RDONLY:
            raise StoreError(f"the file system of {self._path.parent} is mounted read-only")
        if found.f_bavail * found.f_frsize < LEAST_SPACE:
            raise StoreError(f"the file system of {self._path.parent} is full: free some space")

    async def _want(self, intent: Intent) -> None:
        body, task_id = _dump(_INTENT, intent), intent.task.id
        await self._write(
            lambda db: db.execute("UPDATE intent SET body = ? WHERE task_id = ?", (body, task_id))
        )
        self._intents[task_id] = intent

    async def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            if self._db is None:
                raise StoreError("the state store is closed")
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    return change(self._db)
            except sqlite3.Error as error:
                raise StoreError(f"can't write {self._path}: {error}") from error

        return await self._run(transaction)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError as error:
            raise StoreError(f"{self._path} did not answer in {WRITE_DEADLINE_S:.0f} s") from error

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(self._path.with_suffix(".lock"))
            self._path.touch(mode=0o600)  # environments may hold secrets; WAL files take it over
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            _migrate(self._db)
            self._read(self._db)
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StoreError(
                f"can't open the state store {self._path}: {error};"
                " mend it, or move it away to begin without any task"
            ) from error

    def _read(self, db: sqlite3.Connection) -> None:
        for family, revision, at, body in db.execute("SELECT * FROM definition ORDER BY 1, 2"):
            registered = Registered(_DEFINITION.validate_json(body), revision, at)
            self._definitions.setdefault(family, {})[revision] = registered
        query = (
            "SELECT task_id, intent.body, progress.body"
            " FROM intent JOIN progress USING (task_id) ORDER BY intent.rowid"
        )
        for task_id, intent, progress in db.execute(query):
            self._intents[task_id] = _INTENT.validate_json(intent)
            self._progress[task_id] = _PROGRESS.validate_json(progress)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _dump(adapter: TypeAdapter[T], value: T) -> str:
    return adapter.dump_json(value, by_alias=True).decode()


def _locked(path: Path) -> TextIO:
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"another agent uses {path.parent}: stop it, or choose another directory"
        ) from error
    return lock


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the state store has schema {version}, this agent knows {len(MIGRATIONS)}:"
            " it was written by a newer Hostler; install that one again"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
