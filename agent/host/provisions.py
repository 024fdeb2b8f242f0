"""What provides a task with what it needs as a whole (``agent.task.provisions``)."""

from __future__ import annotations

from typing import Protocol

from agent.task.model import Task
from agent.task.view import Look


class ProvisionError(Exception):
    """It can't be provided; the text says why. ``name`` is ECS's for such a failure."""

    name = "ResourceInitializationError"


class ProvisionUnavailable(Exception):
    """It can't be provided now; another time it may."""


class Provider(Protocol):
    """Provides one kind of provision. Every method is idempotent."""

    async def look(self, task: Task) -> Look[None]:
        """Absent when nothing of it is left, Seen when it is there whole, else Unknown."""

    async def provide(self, task: Task) -> None:
        """It is there whole. Raises ProvisionError, ProvisionUnavailable, or what ``act`` knows."""

    async def take_back(self, task: Task) -> None:
        """Nothing of it is left."""
