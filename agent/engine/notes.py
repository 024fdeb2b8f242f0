"""What the store keeps beside definitions and tasks: the state of the host, and what is withdrawn.

Definitions stay in their table when they are deregistered, so that no revision is given twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from agent.engine.rows import Revision, Rows

DRAINING = "draining"


class Write(Protocol):
    """Commits a change to the database. Raises StoreError."""

    async def __call__(self, change: Callable[[sqlite3.Connection], Any], /) -> Any: ...


class Notes:
    """Reads come from memory; every write is on disk when it returns. Writes raise StoreError."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._host: set[str] = set()
        self._deregistered: dict[Revision, float] = {}

    @property
    def draining(self) -> bool:
        """Whether the host takes no new tasks."""
        return DRAINING in self._host

    @property
    def deregistered(self) -> Mapping[Revision, float]:
        """The task definitions that no new task may use, and since when."""
        return MappingProxyType(self._deregistered)

    async def drain(self) -> None:
        """The host takes no new tasks from now on."""
        query = "INSERT OR IGNORE INTO host VALUES (?)"
        await self._write(lambda db: db.execute(query, (DRAINING,)))
        self._host.add(DRAINING)

    async def activate(self) -> None:
        """The host takes new tasks."""
        await self._write(lambda db: db.execute("DELETE FROM host WHERE mark = ?", (DRAINING,)))
        self._host.discard(DRAINING)

    async def deregister(self, revision: Revision, now: float) -> None:
        """No new task may use this definition. The first time stays."""
        query = "INSERT OR IGNORE INTO deregistered VALUES (?, ?, ?)"
        await self._write(lambda db: db.execute(query, (*revision, now)))
        self._deregistered.setdefault(revision, now)

    def take(self, rows: Rows) -> None:
        """Takes all of it from a database that was just opened."""
        self._host, self._deregistered = rows.marks, rows.deregistered
