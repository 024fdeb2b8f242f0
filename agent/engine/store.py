"""What must survive: task definitions, intents and progress, in SQLite.

One thread owns the connection; everything is read into memory at opening, and memory changes only
after the disk has. Intents (written by the doors) and progress (written by each task's supervisor)
are two tables with one writer each. WAL with ``synchronous=FULL``: what was answered is on disk.
A damaged file does not keep the agent from starting (``database``).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import TextIO, TypeVar

from agent.engine.database import NewerSchema, open_database
from agent.engine.notes import Notes
from agent.engine.rows import INTENT, PROGRESS, Rows, definition_body, dump
from agent.engine.rows import Registered as Registered
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

log = logging.getLogger(__name__)

WRITE_DEADLINE_S = 30.0
"""A disk that takes longer than this to commit a few kilobytes is broken; the agent must say so."""

_OPEN, _CLOSED = "open", "closed"
"""What the lock file says of the store."""

LEAST_SPACE = 2**20
"""Bytes; some hundred writes."""

T = TypeVar("T")


class StoreError(Exception):
    """The state store can't be opened, read or written; the text says what to do."""


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
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._asking = asyncio.Lock()
        self._lock: TextIO | None = None
        self._db: sqlite3.Connection | None = None
        self._intents: dict[TaskId, Intent] = {}
        self._progress: dict[TaskId, Progress] = {}
        self._definitions: dict[str, dict[int, Registered]] = {}
        self._failing = False
        self.halves = Halves()
        self.notes = Notes(self._write)

    async def open(self) -> None:
        """Opens or makes the database, brings it up to date and reads it.

        What is damaged is put aside, and told; what could be read of it goes on, and ``halves``
        are for ``adopt``. Raises StoreError when another agent has it open, when a newer one wrote
        it, or when the disk can't be used; then it is closed.
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
        await self._write(lambda db: None)
        await self._run(self._check_space)

    async def answers(self) -> None:
        """Returns when the thread that writes has done what it was given before, if it is open."""
        if self._lock is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, int)

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
        body, task_id = dump(INTENT, intent), intent.task.id
        await self._write(
            lambda db: db.execute("UPDATE intent SET body = ? WHERE task_id = ?", (body, task_id))
        )
        self._intents[task_id] = intent

    async def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        given_up = Event()

        def transaction() -> T:
            if self._db is None:
                raise StoreError("the state store is closed")
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    done = change(self._db)
                    if given_up.is_set():  # it was refused meanwhile, so it must not be kept
                        raise StoreError(f"{self._path} did not answer in time")
                    return done
            except sqlite3.Error as error:
                raise StoreError(f"can't write {self._path}: {error}") from error

        try:
            done = await self._run(transaction)
        except StoreError as error:
            given_up.set()
            self._tell(error)
            raise
        self._tell(None)
        return done

    def _tell(self, error: StoreError | None) -> None:
        """One line when the store begins to fail, one when it works again."""
        if error is not None and not self._failing:
            log.error("%s; tasks run on, but nothing can be begun or asked for meanwhile", error)
        elif error is None and self._failing:
            log.warning("the state store %s can be written again", self._path)
        self._failing = error is not None

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError as error:
            raise StoreError(f"{self._path} did not answer in {WRITE_DEADLINE_S:.0f} s") from error

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock, unclean = _locked(self._path.with_suffix(".lock"))
            opened = open_database(self._path, unclean=unclean)
        except NewerSchema as error:
            raise StoreError(str(error)) from error
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"can't open the state store {self._path}: {error};"
                " mend it, or move it away to begin without any task"
            ) from error
        self._db = opened.db
        _mark(self._lock, _OPEN)
        for each in opened.mishaps:
            log.error("%s", each)
        self._take(opened.rows, doubtful=opened.doubtful)

    def _take(self, rows: Rows, *, doubtful: bool) -> None:
        self._definitions = rows.definitions
        whole = [each for each in rows.intents if each in rows.progress]
        self._intents = {each: rows.intents.pop(each) for each in whole}
        self._progress = {each: rows.progress.pop(each) for each in whole}
        self.halves = Halves(rows.intents, rows.progress, doubtful)
        self.notes.take(rows)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
            if self._lock is not None:
                _mark(self._lock, _CLOSED)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _first_progress(task: Task, waiting: Collection[TaskId]) -> Progress:
    first = first_progress(task)
    return replace(first, admitted_at=None) if task.id in waiting else first


def _locked(path: Path) -> tuple[TextIO, bool]:
    """The open lock file, and whether who had it last never came to close the store."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.seek(0)
        return lock, lock.read() == _OPEN
    except OSError as error:
        lock.close()
        raise StoreError(
            f"another agent uses {path.parent}: stop it, or choose another directory"
        ) from error


def _mark(lock: TextIO, state: str) -> None:
    with suppress(OSError):  # a full disk: the next start has a closer look, no more
        lock.truncate(0)
        lock.write(state)
        lock.flush()
