"""Tasks: the running side of containers, each call answered by the container's shim.

containerd's word "task" is one container's processes; what ECS calls a task is unknown here.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from agent.containerd.convert import epoch, mounts_to
from agent.containerd.pb import process_pb2
from agent.containerd.pb import tasks_pb2 as pb
from agent.containerd.rpc import METADATA_S, TASK_S, Rpc
from agent.containerd.types import Exit, Mount, Process, Status

_TASKS = "/containerd.services.tasks.v1.Tasks/"
_PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process"


class Tasks:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def create(
        self,
        container_id: str,
        rootfs: Iterable[Mount] = (),
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
        timeout: float = TASK_S,
    ) -> int:
        """Everything but the program's start: mounts, namespaces, cgroup. Gives the pid.

        ``stdin``, ``stdout``, ``stderr``: FIFOs; empty: /dev/null. An output FIFO needs its reader
        first, else the shim waits for one until the deadline. ``file:///path``, the same for both
        outputs, takes both. AlreadyExists if the container has a task.
        """
        request = pb.CreateTaskRequest(
            container_id=container_id,
            rootfs=mounts_to(rootfs),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
        )
        reply = await self._rpc.unary(
            _TASKS + "Create", request, pb.CreateTaskResponse, about=container_id, timeout=timeout
        )
        return reply.pid

    async def start(self, container_id: str, exec_id: str = "", *, timeout: float = TASK_S) -> int:
        """Start the created program, or the exec added under ``exec_id``. Gives the pid."""
        request = pb.StartRequest(container_id=container_id, exec_id=exec_id)
        about = _about(container_id, exec_id)
        reply = await self._rpc.unary(
            _TASKS + "Start", request, pb.StartResponse, about=about, timeout=timeout
        )
        return reply.pid

    async def get(
        self, container_id: str, exec_id: str = "", *, timeout: float = METADATA_S
    ) -> Process:
        """The state of the container's program or of an exec; NotFound if there is no such."""
        request = pb.GetRequest(container_id=container_id, exec_id=exec_id)
        about = _about(container_id, exec_id)
        reply = await self._rpc.unary(
            _TASKS + "Get", request, pb.GetResponse, about=about, timeout=timeout
        )
        return _process_of(reply.process, container_id, exec_id)

    async def list(self, *, timeout: float = TASK_S) -> tuple[Process, ...]:
        """The first process of every task of the namespace; execs are not in it.

        containerd asks the shims one after the other, for two seconds each; one that does not
        answer shows as UNKNOWN.
        """
        reply = await self._rpc.unary(
            _TASKS + "List", pb.ListTasksRequest(), pb.ListTasksResponse, about="", timeout=timeout
        )
        return tuple(_process_of(each, each.id, "") for each in reply.tasks)

    async def kill(
        self,
        container_id: str,
        signal: int,
        *,
        exec_id: str = "",
        everyone: bool = False,
        timeout: float = TASK_S,
    ) -> None:
        """Send the signal to the program, to the exec, or to ``everyone`` in the container.

        NotFound when it has ended or was never there.
        """
        request = pb.KillRequest(
            container_id=container_id, exec_id=exec_id, signal=signal, all=everyone
        )
        about = _about(container_id, exec_id)
        await self._rpc.unary(_TASKS + "Kill", request, Empty, about=about, timeout=timeout)

    async def exec(
        self,
        container_id: str,
        exec_id: str,
        process: bytes,
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
        timeout: float = TASK_S,
    ) -> None:
        """Add a process (an OCI ``process`` object as JSON) to a running task; ``start`` starts it.

        Output addresses are those of ``create``. AlreadyExists if ``exec_id`` is taken.
        """
        request = pb.ExecProcessRequest(
            container_id=container_id,
            exec_id=exec_id,
            spec=Any(type_url=_PROCESS_TYPE, value=process),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
        )
        about = _about(container_id, exec_id)
        await self._rpc.unary(_TASKS + "Exec", request, Empty, about=about, timeout=timeout)

    async def wait(self, container_id: str, exec_id: str = "", *, timeout: float) -> Exit:
        """How the process ended, once it has; DeadlineExceeded if that takes over ``timeout``."""
        request = pb.WaitRequest(container_id=container_id, exec_id=exec_id)
        about = _about(container_id, exec_id)
        reply = await self._rpc.unary(
            _TASKS + "Wait", request, pb.WaitResponse, about=about, timeout=timeout
        )
        return Exit(reply.exit_status, epoch(reply.exited_at))

    async def delete(self, container_id: str, *, timeout: float = TASK_S) -> Exit:
        """Remove an ended or never started task, and its shim when it was the shim's last one.

        FailedPrecondition while the program runs. The record and the snapshot stay.
        """
        request = pb.DeleteTaskRequest(container_id=container_id)
        reply = await self._rpc.unary(
            _TASKS + "Delete", request, pb.DeleteResponse, about=container_id, timeout=timeout
        )
        return Exit(reply.exit_status, epoch(reply.exited_at))

    async def delete_process(
        self, container_id: str, exec_id: str, *, timeout: float = TASK_S
    ) -> Exit:
        """Remove an exec that has ended or was never started."""
        request = pb.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
        about = _about(container_id, exec_id)
        reply = await self._rpc.unary(
            _TASKS + "DeleteProcess", request, pb.DeleteResponse, about=about, timeout=timeout
        )
        return Exit(reply.exit_status, epoch(reply.exited_at))


def _about(container_id: str, exec_id: str) -> str:
    return f"{container_id}, {exec_id}" if exec_id else container_id


def _process_of(process: process_pb2.Process, container_id: str, exec_id: str) -> Process:
    return Process(
        container_id=container_id,
        exec_id=exec_id,
        pid=process.pid,
        status=Status(process.status),
        exit_status=process.exit_status,
        exited_at=epoch(process.exited_at),
    )
