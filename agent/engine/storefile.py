"""The state store's file: one agent has it, one thread writes it, and no write may hang.

A lock file beside it says who has it, and whether who had it last came to close it. WAL with
``synchronous=FULL``: what was written is on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TextIO, TypeVar

from agent.engine.database import NewerSchema, Opened, open_database

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


class StoreFile:
    """The file at ``path``, which may be damaged (``database``), and its lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._lock: TextIO | None = None
        self._db: sqlite3.Connection | None = None
        self._failing = False

    async def open(self) -> Opened:
        """Opens or makes the file and reads it; what is damaged is put aside, and told.

        Raises StoreError when another agent has it open, when a newer one wrote it, or when the
        disk can't be used; then it is closed.
        """
        try:
            return await self._run(self._open)
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the thread and releases the file."""
        await self._run(self._close)
        self._thread.shutdown()

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """The change is on disk; gives what ``change`` does. Raises StoreError, and nothing is."""
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

    async def check(self) -> None:
        """Raises StoreError if nothing could be written now, as far as shows without writing.

        A disk's wear is not to depend on how often somebody asks.
        """
        await self.write(lambda db: None)
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

    def _open(self) -> Opened:
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
        return opened

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
            if self._lock is not None:
                _mark(self._lock, _CLOSED)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


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
