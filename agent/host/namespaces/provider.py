"""Provides the namespaces that a task's containers share, and says where they are.

Everything is found by the task's id. What is not whole counts as absent: providing makes it whole,
and a task's release takes back whatever there is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers import facts
from agent.host.containers.lifecycle import RuntimeSettings
from agent.host.containers.processes import Processes
from agent.host.namespaces import orphans, pins
from agent.host.namespaces.pause import Pauses
from agent.host.namespaces.places import IPC, MEMORY, PID, kinds
from agent.task.model import Task, TaskId
from agent.task.names import Names
from agent.task.view import Absent, Look, Seen, Unknown

_MEMORY_MIB = 64


def open_namespaces(
    client: Containerd,
    of: Names,
    cgroups: TaskCgroups,
    settings: RuntimeSettings,
    processes: Processes,
) -> Namespaces:
    """The provider, with what it needs. Blocking: it looks at the host."""
    pauses = Pauses(client, of, facts.gather(cgroups.kernel), settings, processes)
    return Namespaces(of, cgroups, pauses)


class Namespaces:
    """The shared namespaces of all tasks (``agent.host.provisions.Provider``)."""

    def __init__(self, of: Names, cgroups: TaskCgroups, pauses: Pauses) -> None:
        self._names = of
        self._cgroups = cgroups
        self._pauses = pauses

    async def look(self, task: Task) -> Look[None]:
        """Seen when all that the task shares is there."""
        if not all(_is_there(self._names, kind, task.id) for kind in kinds(task)):
            return Absent()
        try:
            lost = PID in kinds(task) and not await self._pauses.pid(task)
        except ContainerdError as error:
            return Unknown(str(error))
        return Absent() if lost else Seen(None)

    async def provide(self, task: Task) -> None:
        """All that the task shares is there. Raises as Provider has it."""
        await asyncio.to_thread(self._prepare, task)
        if PID in kinds(task):
            pid = await self._pauses.run(task)
            await asyncio.to_thread(self._pin_pid, task, pid)

    async def take_back(self, task: Task) -> None:
        """Nothing of it is left. Raises ContainerdError, OSError."""
        if PID in kinds(task):
            await self._pauses.release(task)
        await asyncio.to_thread(orphans.unpin_all, self._names, task.id)

    def _prepare(self, task: Task) -> None:
        """The task's directory and cgroup come first: they stand for whatever follows."""
        self._names.task_dir(task.id).mkdir(parents=True, exist_ok=True, mode=0o711)
        self._cgroups.ensure(task)
        if IPC in kinds(task):
            pins.mount_memory(self._names.pinned(MEMORY, task.id), _memory_mib(task))
            pins.pin_new_ipc(self._names.pinned(IPC, task.id))

    def _pin_pid(self, task: Task, pid: int) -> None:
        """Through the mount nobody can join another namespace when the number is another's."""
        path = self._names.pinned(PID, task.id)
        current = Path(f"/proc/{pid}/ns/pid")
        if pins.is_pinned(path) and path.samefile(current):
            return
        pins.unpin(path)
        pins.pin(current, path)


def _is_there(of: Names, kind: str, task_id: TaskId) -> bool:
    path = of.pinned(kind, task_id)
    return pins.is_memory(path) if kind == MEMORY else pins.is_pinned(path)


def _memory_mib(task: Task) -> int:
    """The largest that a container asks for: they have it together."""
    asked = [
        each.linux_parameters.shared_memory_size for each in task.definition.container_definitions
    ]
    return max((each for each in asked if each), default=_MEMORY_MIB)
