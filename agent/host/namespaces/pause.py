"""The first process of a task's PID namespace: catatonit, which waits for ever and reaps.

It is a container of its own in the task's cgroup and shim, seen by nobody but the runtime. When it
ends, the kernel ends every process of the namespace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.containerd.client import Containerd
from agent.containerd.errors import (
    AlreadyExists,
    ContainerdError,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from agent.containerd.types import GROUP_ANNOTATION, ContainerRecord, Status
from agent.host.containers import facts, shims
from agent.host.containers.lifecycle import RuntimeSettings
from agent.host.containers.processes import Processes
from agent.host.containers.runtimes import Runtime
from agent.host.provisions import ProvisionError, ProvisionUnavailable
from agent.oci.image import ImageConfig
from agent.oci.inputs import BindMount, HostFacts, SpecInputs
from agent.oci.spec import build_spec
from agent.oci.user import User
from agent.task import names
from agent.task.definition import ContainerDefinition
from agent.task.model import Task, TaskId
from agent.task.names import Names
from agent.task.story import about

log = logging.getLogger(__name__)

_PROGRAM = "/pause"
_PF_EXITING = 0x4
"""Of the flags in /proc/PID/stat (linux/sched.h)."""

_DEFINITION = ContainerDefinition.model_validate(
    {
        "name": "pause",
        "image": "none",
        "readonlyRootFilesystem": True,
        "dockerSecurityOptions": ["no-new-privileges"],
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
    }
)


class Pauses:
    """The pause processes of all tasks."""

    def __init__(
        self,
        client: Containerd,
        of: Names,
        host: HostFacts,
        settings: RuntimeSettings,
        processes: Processes,
    ) -> None:
        self._client = client
        self._names = of
        self._host = host
        self._settings = settings
        self._processes = processes

    async def pid(self, task: Task) -> int:
        """Process id of the task's pause process, 0 if there is none. Raises ContainerdError."""
        try:
            process = await self._client.tasks.get(names.pause_id(task.id))
        except NotFound:
            return 0
        if process.status is not Status.RUNNING or is_ending(process.pid):
            return 0
        return process.pid

    async def run(self, task: Task) -> int:
        """The process runs; gives its id. The task's cgroup is there.

        Raises ProvisionError, ProvisionUnavailable, ContainerdError, OSError.
        """
        pid = await self.pid(task)
        if pid:
            return pid
        program = facts.init_program()
        if program is None:
            raise ProvisionError(
                "pidMode task needs an init program on the host: install catatonit"
            )
        directory = self._directory(task.id)
        if directory.exists():
            self._processes.expect_rest(task.id)
        await self.remove(task)
        try:
            await asyncio.to_thread(_make_root, directory)
            return await self._start(task, directory, program)
        except ContainerdError as error:
            if isinstance(error, Unavailable) or self._processes.is_unsettled(task.id):
                raise ProvisionUnavailable(error.said) from error
            raise

    async def remove(self, task: Task) -> None:
        """Nothing is left of it. Raises ContainerdError, OSError."""
        key = names.pause_id(task.id)
        await self._processes.end(task.id, key)
        with suppress(NotFound):
            await self._client.containers.delete(key)
        directory = self._directory(task.id)
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)

    async def release(self, task: Task) -> None:
        """No shim that was begun for it is left. Only when no container of the task is."""
        await self.remove(task)
        keys = {names.pause_id(task.id)}
        if not self._processes.forget(task.id, keys):
            namespace, socket = self._client.namespace, self._client.socket
            for pid in await asyncio.to_thread(shims.end_leftover, namespace, socket, keys):
                told = "ended shim %d, which outlived task %s"
                log.warning(told, pid, task.id, extra=about(task))

    def _runtime(self, task: Task) -> Runtime:
        """That of the task's containers: none with a kernel of its own shares a namespace."""
        chosen = next(iter(task.runtimes.values()), "")
        found = self._settings.runtimes.find(chosen)
        if found is None:
            raise ProvisionError(f"the task's runtime {chosen} is no longer configured")
        return found

    def _directory(self, task_id: TaskId) -> Path:
        return self._names.task_dir(task_id) / ".pause"

    async def _start(self, task: Task, directory: Path, program: str) -> int:
        key, runtime = names.pause_id(task.id), self._runtime(task)
        systemd = bool(self._names.task_cgroup(task).slice)
        with suppress(AlreadyExists):
            await self._client.containers.create(
                ContainerRecord(
                    id=key,
                    spec=json.dumps(self._spec(task, directory, program)).encode(),
                    runtime=runtime.shim,
                    options=runtime.options(systemd=systemd),
                    labels=names.labels(task, names.PAUSE),
                )
            )
        await self._processes.create(task, key, ())
        with suppress(FailedPrecondition):  # it was started before
            await self._client.tasks.start(key, timeout=self._settings.start_timeout_s)
        pid = await self.pid(task)
        if not pid:
            raise ProvisionUnavailable("the pause process ended at once")
        return pid

    def _spec(self, task: Task, directory: Path, program: str) -> dict[str, Any]:
        key = names.pause_id(task.id)
        spec = build_spec(
            SpecInputs(
                container=_DEFINITION,
                image=ImageConfig(entrypoint=(_PROGRAM, "-P")),
                user=User(additional_gids=()),
                host=self._host,
                rootfs=str(directory),
                hostname="pause",
                netns=None,
                cgroup_path=self._names.task_cgroup(task).for_runtime(key),
                ipc_mode="none",
                mounts=(BindMount(program, _PROGRAM, read_only=True),),
                annotations={GROUP_ANNOTATION: task.id},
            )
        )
        spec["linux"]["namespaces"].append({"type": "network"})
        return spec


def is_ending(pid: int) -> bool:
    """Whether the process has begun to end, or has.

    The first process of a PID namespace ends last: it waits until the kernel has killed the others,
    whose ends are seen before.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    state, *numbers = stat.rpartition(")")[2].split()
    return state in "ZX" or bool(int(numbers[5]) & _PF_EXITING)


def _make_root(directory: Path) -> None:
    """An empty root, with places to mount on that the runtime then need not make."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    for each in ("proc", "dev", "sys"):
        (directory / each).mkdir(exist_ok=True)
    (directory / _PROGRAM.strip("/")).touch()
