"""Containers' first processes in containerd: made and ended, whatever an earlier try has left.

Those of a task share a shim, so their creations take turns.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from signal import SIGKILL
from time import monotonic
from typing import Any

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists, ContainerdError, NotFound, Unavailable
from agent.containerd.types import Mount, Status
from agent.host.cgroups.kernel import Cgroups
from agent.task.model import TaskId

GONE_S = 10.0
"""How long a killed process may take to be gone (it may hang in the kernel)."""

UNDOING_S = 15.0
"""How long containerd may take to undo a creation whose caller went away (seen: up to 4 s).

Until then a new one may fail in many ways: its directory is there, or vanishes under the shim.
"""


class Processes:
    """``timeout_s`` is for one creation. Keys are the containers' ids."""

    def __init__(self, client: Containerd, cgroups: Cgroups, timeout_s: float) -> None:
        self._client = client
        self._cgroups = cgroups
        self._timeout_s = timeout_s
        self._clean: dict[str, bool] = {}
        self._turns: defaultdict[TaskId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unsettled: dict[TaskId, float] = {}
        self._cut: set[str] = set()
        self._creating = 0

    def expect_rest(self, task_id: TaskId) -> None:
        """An earlier creation may have left something half-made; containerd may be undoing it."""
        self._unsettled.setdefault(task_id, monotonic())

    def is_unsettled(self, task_id: TaskId) -> bool:
        """Whether containerd may still be undoing, or ending, what an earlier agent began."""
        return monotonic() < self._unsettled.get(task_id, -UNDOING_S) + UNDOING_S

    async def create(
        self, task_id: TaskId, key: str, root: tuple[Mount, ...], **stdio: Any
    ) -> None:
        """The container's record has a process, ready to start. Raises ContainerdError."""
        try:
            async with self._turns[task_id]:  # two at once would race for the shim
                await self._create(key, root, **stdio)
            self._clean.setdefault(key, True)
        except AlreadyExists:
            await self._make_sure_of(task_id, key)
        except Unavailable:
            self._clean[key] = False
            self._cut.add(key)
            raise
        except ContainerdError as error:
            self._clean[key] = False
            if self.is_unsettled(task_id):
                raise Unavailable(str(error), error.said) from error
            raise

    async def end(self, task_id: TaskId, key: str) -> None:
        """Nothing of the process is left, nor of its record. Raises ContainerdError."""
        try:
            process = await self._client.tasks.get(key)
            if process.status is not Status.STOPPED:
                with suppress(NotFound):
                    await self._client.tasks.kill(key, SIGKILL, everyone=True)
                if process.status is not Status.CREATED:
                    await self._client.tasks.wait(key, timeout=GONE_S)
            await self._client.tasks.delete(key)
        except NotFound:
            await self._drop_record(task_id, key)

    def forget(self, task_id: TaskId, keys: Collection[str]) -> bool:
        """The task is over; gives whether all its creations ended well, as far as is known."""
        clean = [self._clean.pop(each, False) for each in keys]
        self._turns.pop(task_id, None)
        self._unsettled.pop(task_id, None)
        self._cut.difference_update(keys)
        return all(clean)

    async def _create(self, key: str, root: tuple[Mount, ...], **stdio: Any) -> None:
        """Tasks.Create, with the cgroups' lock roused meanwhile if no other creation does that."""
        self._creating += 1
        loop = asyncio.get_running_loop()
        rousing = loop.run_in_executor(None, self._cgroups.rouse) if self._creating == 1 else None
        try:
            await self._client.tasks.create(key, root, timeout=self._timeout_s, **stdio)
        finally:
            self._creating -= 1
            if rousing is not None:
                await rousing

    async def _make_sure_of(self, task_id: TaskId, key: str) -> None:
        """The process is there. Raises Unavailable if only containerd's record of it is."""
        try:
            await self._client.tasks.get(key)
        except NotFound as error:
            await self._drop_record(task_id, key)
            raise Unavailable(str(error), "its creation was cut short") from error

    async def _drop_record(self, task_id: TaskId, key: str) -> None:
        """containerd has no process of this key that its shim doesn't know of.

        Such remain of creations of ours that containerd did not survive. One that it is still
        carrying out for an agent that was killed looks the same, and must be let be.
        """
        if self.is_unsettled(task_id) and key not in self._cut:
            return
        with suppress(NotFound):  # said by the shim too, when the record is gone already
            await self._client.tasks.delete(key)
