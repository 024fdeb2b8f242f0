"""What is left of tasks that nobody knows: containers with all that hangs on them, and odd pieces.

It comes to be when the state store is lost and a container carries nothing to rebuild its task from
(an older agent made it). What has no process is removed; a container that runs is never ended
without somebody's word: ``hostler doctor`` names it, ``hostler doctor --fix`` stops it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, DeadlineExceeded, NotFound
from agent.containerd.types import GC_ROOT_LABEL, Status
from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import keepsakes, shims
from agent.host.containers.keepsakes import Owned
from agent.host.logrouter import LogRouter, LogRouterError
from agent.host.volumes import trees
from agent.task import names
from agent.task.model import TASK_SANDBOX, TaskId
from agent.task.names import Names
from agent.task.view import Running

log = logging.getLogger(__name__)

STOP_S = 30.0
"""Between SIGTERM and SIGKILL for containers of which no more is known."""

GONE_S = 10.0

_TASK_ID = re.compile("[0-9a-f]{32}")
_CONTAINER_ID = re.compile("[0-9a-f]{64}")
_AT_ONCE = 16
"""Containers that containerd is asked about at the same time."""

_PROCESSES = {
    Status.CREATED: Running.CREATED,
    Status.RUNNING: Running.RUNNING,
    Status.PAUSED: Running.RUNNING,
    Status.PAUSING: Running.RUNNING,
    Status.UNKNOWN: Running.RUNNING,
    Status.STOPPED: Running.STOPPED,
}
"""A shim that does not answer may have something that runs."""


@dataclass(frozen=True, slots=True)
class Stray:
    """Containers of a task that nobody knows; ``running`` are the names of those that run."""

    task_id: TaskId
    containers: tuple[Owned, ...]
    running: tuple[str, ...]

    @property
    def sandboxes(self) -> tuple[str, ...]:
        """Ids of all sandboxes that it may have."""
        whole = names.container_id(self.task_id, TASK_SANDBOX)
        return (whole, *(each.record.id for each in self.containers))

    def __str__(self) -> str:
        listed = ", ".join(each.name for each in self.containers)
        return f"task {self.task_id} ({listed})"


@dataclass(frozen=True, slots=True)
class Strays:
    """Finds and removes them, on one host.

    ``cgroup_root`` is the cgroup that tasks' are in; "" where systemd makes them, and ends them.
    """

    client: Containerd
    router: LogRouter
    cgroups: Cgroups
    names: Names
    cgroup_root: str
    stop_s: float = STOP_S

    async def containers(self) -> dict[TaskId, list[Owned]]:
        """All containers of this agent, by task. Raises ContainerdError."""
        found: defaultdict[TaskId, list[Owned]] = defaultdict(list)
        for each in keepsakes.owned(await self.client.containers.list(), self.names):
            found[each.task_id].append(each)
        return found

    async def processes(self, containers: Iterable[Owned]) -> list[Running | None]:
        """The state of each container's process, None if it has none.

        One that can't be looked at may run.
        """
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(each: Owned) -> Running | None:
            async with turns:
                try:
                    return _PROCESSES[(await self.client.tasks.get(each.record.id)).status]
                except NotFound:
                    return None
                except ContainerdError:
                    return Running.RUNNING

        return await asyncio.gather(*map(look, containers))

    async def find(self, known: Collection[TaskId]) -> list[Stray]:
        """Those of tasks that are not ``known``. Changes nothing. Raises ContainerdError."""
        return await self.among(await self.containers(), known)

    async def among(
        self, containers_of: Mapping[TaskId, list[Owned]], known: Collection[TaskId]
    ) -> list[Stray]:
        """The same, of containers that were found already."""
        found = []
        for task_id, containers in containers_of.items():
            if task_id in known:
                continue
            states = await self.processes(containers)
            running = [
                each.name
                for each, state in zip(containers, states, strict=True)
                if state is Running.RUNNING
            ]
            found.append(Stray(task_id, tuple(containers), tuple(running)))
        return found

    async def remove(self, stray: Stray) -> None:
        """Nothing of it is left but its network; what runs is asked to end first.

        Raises ContainerdError, LogRouterError, OSError; trying again goes on where it failed.
        """
        await asyncio.gather(*(self._end(each.record.id) for each in stray.containers))
        for each in stray.containers:
            await self._delete(each)
        keys = {each.record.id for each in stray.containers}
        namespace, socket = self.client.namespace, self.client.socket
        await asyncio.to_thread(shims.end_leftover, namespace, socket, keys)
        await asyncio.to_thread(shims.remove_sockets, namespace, socket, keys)
        await asyncio.to_thread(self._remove_rest, stray.task_id)

    async def sweep(self, known: Collection[TaskId], ids: Collection[str]) -> list[str]:
        """No directory, cgroup or snapshot of other tasks and containers is left; tells which.

        One that is in use stays. Raises ContainerdError.
        """
        told = await asyncio.to_thread(lambda: list(self._swept(known)))
        ours = [f'labels."{GC_ROOT_LABEL}"==container']
        for each in await self.client.snapshots.list(ours):
            if _CONTAINER_ID.fullmatch(each.name) and each.name not in ids:
                with suppress(NotFound):
                    await self.client.snapshots.remove(each.name)
                    told.append(f"snapshot {each.name}")
        return told

    async def sweep_shims(self, known: Collection[str]) -> list[str]:
        """No shim without a process is left of other containers; tells which there were."""
        namespace, socket = self.client.namespace, self.client.socket
        ended = await asyncio.to_thread(shims.end_unknown, namespace, socket, known)
        return [f"shim {pid}" for pid in ended]

    async def data(self, known: Collection[TaskId]) -> list[Path]:
        """Logs, volumes and metadata files of tasks that are not ``known``."""
        return await asyncio.to_thread(lambda: sorted(self._data(known)))

    async def remove_data(self, known: Collection[TaskId]) -> list[Path]:
        """They are gone, but for what has something mounted below it or resists; gives which."""
        gone = []
        for each in await self.data(known):
            if _mounted_below(each):
                continue
            try:
                await asyncio.to_thread(trees.remove, each)
            except OSError as error:
                log.warning("can't remove %s: %s", each, error)
                continue
            gone.append(each)
        return gone

    def _data(self, known: Collection[TaskId]) -> Iterator[Path]:
        task_id = TaskId("any")
        folders = (
            self.names.log(task_id, "any").parent.parent,
            self.names.volumes(task_id).parent,
            self.names.task_metadata_dir(task_id).parent,
        )
        for folder in folders:
            for each in _children(folder):
                if _TASK_ID.fullmatch(each.name) and each.name not in known:
                    yield each

    async def _end(self, key: str) -> None:
        for number, patience in ((SIGTERM, self.stop_s), (SIGKILL, GONE_S)):
            try:
                process = await self.client.tasks.get(key)
                if process.status in (Status.STOPPED, Status.CREATED):
                    return
                await self.client.tasks.kill(key, number)
                await self.client.tasks.wait(key, timeout=patience)
            except NotFound:
                return
            except DeadlineExceeded:
                continue

    async def _delete(self, container: Owned) -> None:
        key = container.record.id
        with suppress(NotFound):
            if (await self.client.tasks.get(key)).status is Status.CREATED:
                await self.client.tasks.kill(key, SIGKILL, everyone=True)
        with suppress(NotFound):
            await self.client.tasks.delete(key)
        await self.router.close(key)
        with suppress(NotFound):
            await self.client.snapshots.remove(key)
        with suppress(NotFound):
            await self.client.containers.delete(key)

    def _swept(self, known: Collection[TaskId]) -> Iterator[str]:
        for task_id in sorted(self._ids() - set(known)):
            yield from (f"{each} of task {task_id}" for each in self._remove_rest(task_id))

    def _ids(self) -> set[TaskId]:
        """Tasks that have a directory or a cgroup."""
        folders = [self.names.task_dir(TaskId("any")).parent]
        if self.cgroup_root:
            root = self.cgroup_root.lstrip("/")
            folders += [tree / root for tree in self.cgroups.trees()]
        found = [each.name for folder in folders for each in _children(folder)]
        return {TaskId(each) for each in found if _TASK_ID.fullmatch(each)}

    def _remove_rest(self, task_id: TaskId) -> list[str]:
        """Cgroup and directory; one that is in use stays. Without a word, its shim's socket.

        Blocking.
        """
        told = []
        shims.remove_sockets(self.client.namespace, self.client.socket, [task_id])
        cgroup, directory = f"{self.cgroup_root}/{task_id}", self.names.task_dir(task_id)
        there = [tree / cgroup.lstrip("/") for tree in self.cgroups.trees()]
        if (
            self.cgroup_root
            and any(each.exists() for each in there)
            and _done(lambda: self.cgroups.remove(cgroup))
        ):
            told.append("cgroup")
        if directory.exists() and not _mounted_below(directory):
            shutil.rmtree(directory, ignore_errors=True)
            told.append("directory")
        return told


async def remove_idle(strays: Strays, found: Iterable[Stray]) -> list[Stray]:
    """Those without a running container are removed; gives the others, and what resists."""
    left = []
    for each in found:
        if each.running:
            left.append(each)
            continue
        try:
            await strays.remove(each)
            log.warning("removed containers of %s, which is not known and did not run", each)
        except (ContainerdError, LogRouterError, OSError) as error:
            log.warning("can't remove what is left of %s: %s", each, error)
            left.append(each)
    return left


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _done(work: Callable[[], None]) -> bool:
    try:
        work()
    except OSError:
        return False
    return True


def _mounted_below(directory: Path) -> bool:
    """Whether anything is mounted there: what is removed below it might be somebody's data."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return any(point == str(directory) or point.startswith(f"{directory}/") for point in points)
