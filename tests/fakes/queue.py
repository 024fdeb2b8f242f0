"""A queue that is ruder than the real one: it refuses at random, again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from agent.engine.queue import Queue
from agent.engine.store import Store
from agent.task.model import TaskId


class RudeQueue(Queue):
    """Whoever is refused is woken some seconds later, as when others release something."""

    def __init__(self, store: Store, rng: random.Random, ring: Callable[[], None]) -> None:
        super().__init__(store)
        self._rng = rng
        self._ring = ring

    def shortage(self, task_id: TaskId) -> str:
        if self._rng.random() < 0.5:
            return super().shortage(task_id)
        asyncio.get_running_loop().call_later(self._rng.random() * 3, self._ring)
        return f"for memory: {self._rng.random()} MiB are free"
