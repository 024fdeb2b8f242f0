"""Containers' first processes in containerd: made and ended, whatever an earlier try has left.

Those of a task share a shim, so their creations take turns.

A creation that was cut short leaves one of three things, which the next one of the task deals with:
containerd is still undoing it (wait: all failures of some seconds are taken for that), a shim that
never came to serve has the socket of the task's shim (end it, else all who ask it wait for their
deadline), or containerd's directory is there for good (remove it).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from math import inf
from signal import SIGKILL
from time import monotonic

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists, ContainerdError, NotFound, Unavailable
from agent.containerd.types import Mount, Status
from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import bundles, shims
from agent.host.containers.stdio import NOWHERE, Stdio
from agent.task import names
from agent.task.model import Task, TaskId

log = logging.getLogger(__name__)

GONE_S = 10.0
"""How long a killed process may take to be gone (it may hang in the kernel)."""

UNDOING_S = 15.0
"""How long containerd may take to undo a creation whose caller went away (seen: up to 4 s).

Until then a new one may fail in many ways: its directory is there, or vanishes under the shim.
"""

_ALONE_S = 3.0
"""The same, with much to spare, where there is no shim to ask, or containerd has ended since."""


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
        return self._settling_s(task_id) < UNDOING_S

    async def create(
        self, task: Task, key: str, root: tuple[Mount, ...], stdio: Stdio = NOWHERE
    ) -> None:
        """The container's record has a process, ready to start. Raises ContainerdError, OSError."""
        try:
            async with self._turns[task.id]:  # two at once would race for the shim
                if task.id in self._unsettled:
                    await self._create_anew(task, key, root, stdio)
                else:
                    await self._create(key, root, stdio)
            self._clean.setdefault(key, True)
        except AlreadyExists:
            await self._make_sure_of(task.id, key)
        except Unavailable:
            self._clean[key] = False
            self._cut.add(key)
            self._unsettled[task.id] = monotonic()
            raise
        except ContainerdError as error:
            self._clean[key] = False
            if self.is_unsettled(task.id):
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

    async def _create_anew(
        self, task: Task, key: str, root: tuple[Mount, ...], stdio: Stdio
    ) -> None:
        """As ``_create``, where an earlier creation of the task may have left something."""
        await self._end_deaf_shims(task)
        try:
            await self._create(key, root, stdio)
        except ContainerdError as error:
            bundle = bundles.in_the_way(error.said, self._client.namespace, key)
            if bundle is None or self._settling_s(task.id) < await self._undoing_s(task, key):
                raise
            log.warning("removing %s, which was in the way of a container", bundle)
            await asyncio.to_thread(bundles.remove, bundle)
            await self._create(key, root, stdio)

    async def _end_deaf_shims(self, task: Task) -> None:
        """Nobody but a shim that serves has the socket of the task's shim.

        One whose start was cut short waits for containerd to open its log, which it never will. It
        can't be there beside one that serves, which containerd knows of.
        """
        every = names.container_ids(task)
        for each in every:
            with suppress(NotFound):
                await self._client.tasks.get(each)
                return
        for pid in await asyncio.to_thread(
            shims.end_idle, self._client.namespace, self._client.socket, every
        ):
            log.warning("ended shim %d of task %s, which containerd had lost", pid, task.id)

    def _settling_s(self, task_id: TaskId) -> float:
        return monotonic() - self._unsettled.get(task_id, -inf)

    async def _undoing_s(self, task: Task, key: str) -> float:
        """How long containerd may take to undo a creation, by who is there to be asked."""
        if key in self._cut:
            return _ALONE_S
        every = names.container_ids(task)
        namespace, socket = self._client.namespace, self._client.socket
        found = await asyncio.to_thread(shims.of, namespace, socket, every)
        return UNDOING_S if found else _ALONE_S

    async def _create(self, key: str, root: tuple[Mount, ...], stdio: Stdio) -> None:
        """Tasks.Create, with the cgroups' lock roused meanwhile if no other creation does that."""
        self._creating += 1
        loop = asyncio.get_running_loop()
        rousing = loop.run_in_executor(None, self._cgroups.rouse) if self._creating == 1 else None
        try:
            await self._client.tasks.create(
                key,
                root,
                stdin=stdio.stdin,
                stdout=stdio.stdout,
                stderr=stdio.stderr,
                terminal=stdio.terminal,
                timeout=self._timeout_s,
            )
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
