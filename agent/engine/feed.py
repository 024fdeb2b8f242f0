"""The read-only picture of all tasks that metadata, API and command line see.

Supervisors publish, readers read or wait for a change; nobody acts on the world from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.task.model import Intent, Progress, TaskId
from agent.task.view import View


@dataclass(frozen=True, slots=True)
class Picture:
    """A task as its supervisor saw it last. ``view`` is None until the first look."""

    intent: Intent
    progress: Progress
    view: View | None = None


class Feed:
    """The pictures by task id, and ways to wait for the next change, of one or of any.

    ``pictures`` are of every task that is not forgotten yet, oldest first. ``version`` grows with
    each change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._pictures: dict[TaskId, Picture] = {}
        self.pictures: Mapping[TaskId, Picture] = MappingProxyType(self._pictures)
        self._changed: dict[TaskId, asyncio.Event] = {}
        self._any_changed = asyncio.Event()

    def __iter__(self) -> Iterator[Picture]:
        return iter(tuple(self._pictures.values()))

    def publish(self, picture: Picture) -> None:
        """Shows ``picture`` from now on and wakes whoever waits for its task."""
        task_id = picture.intent.task.id
        if self._pictures.get(task_id) == picture:
            return
        self._pictures[task_id] = picture
        self._wake(task_id)

    def forget(self, task_id: TaskId) -> None:
        """Stops showing a task."""
        self._pictures.pop(task_id, None)
        self._wake(task_id)

    async def change(self, task_id: TaskId) -> None:
        """Returns when the task is published again or forgotten. The caller sets the deadline."""
        await self._changed.setdefault(task_id, asyncio.Event()).wait()

    async def beyond(self, version: int) -> None:
        """Returns once there was a change after ``version``. The caller sets the deadline."""
        while self.version <= version:
            await self._any_changed.wait()

    def _wake(self, task_id: TaskId) -> None:
        self.version += 1
        self._any_changed.set()
        self._any_changed = asyncio.Event()
        waited = self._changed.pop(task_id, None)
        if waited is not None:
            waited.set()
