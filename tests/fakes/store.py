"""A store whose disk is memory: same reads and writers, no thread, for simulated time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent.engine.store import Store
from agent.task.model import Intent, Task, first_progress


class MemoryStore(Store):
    """Begins with ``made``, each accepted and untouched."""

    def __init__(self, *made: Task) -> None:
        super().__init__(Path("/nonexistent"))
        self._intents = {each.id: Intent(each) for each in made}
        self._progress = {each.id: first_progress(each) for each in made}

    async def _write(self, change: object) -> Any:
        await asyncio.sleep(0.001)
