"""What containerd's task events say, decoded. Pure; ``events`` reads the stream.

containerd names the first process of a container by the container's id and an exec by its own;
here ``exec_id`` is empty for the first process, as in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any

from agent.containerd.convert import epoch
from agent.containerd.pb import task_events_pb2 as pb
from agent.containerd.types import Exit


@dataclass(frozen=True, slots=True)
class TaskCreate:
    container_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class TaskStart:
    container_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class TaskExecStarted:
    container_id: str
    exec_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class TaskExit:
    container_id: str
    exec_id: str
    pid: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class TaskOOM:
    """The kernel killed something in the container for want of memory, not always its program."""

    container_id: str


@dataclass(frozen=True, slots=True)
class TaskDelete:
    container_id: str
    exec_id: str
    pid: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class Raw:
    """An event of a type that we do not read."""

    type_url: str
    value: bytes


Payload = TaskCreate | TaskStart | TaskExecStarted | TaskExit | TaskOOM | TaskDelete | Raw


def payload_of(packed: Any) -> Payload:
    """The event's content by its type; protobuf's DecodeError if it isn't what its type says."""
    decode = _DECODERS.get(packed.type_url.rpartition("/")[2])
    return Raw(packed.type_url, packed.value) if decode is None else decode(packed.value)


def _create(value: bytes) -> TaskCreate:
    event = pb.TaskCreate.FromString(value)
    return TaskCreate(event.container_id, event.pid)


def _start(value: bytes) -> TaskStart:
    event = pb.TaskStart.FromString(value)
    return TaskStart(event.container_id, event.pid)


def _exec_started(value: bytes) -> TaskExecStarted:
    event = pb.TaskExecStarted.FromString(value)
    return TaskExecStarted(event.container_id, event.exec_id, event.pid)


def _exit(value: bytes) -> TaskExit:
    event = pb.TaskExit.FromString(value)
    exec_id = _exec_id(event.id, event.container_id)
    return TaskExit(event.container_id, exec_id, event.pid, _exit_of(event))


def _oom(value: bytes) -> TaskOOM:
    return TaskOOM(pb.TaskOOM.FromString(value).container_id)


def _delete(value: bytes) -> TaskDelete:
    event = pb.TaskDelete.FromString(value)
    exec_id = _exec_id(event.id, event.container_id)
    return TaskDelete(event.container_id, exec_id, event.pid, _exit_of(event))


def _exit_of(event: pb.TaskExit | pb.TaskDelete) -> Exit:
    return Exit(event.exit_status, epoch(event.exited_at))


def _exec_id(process_id: str, container_id: str) -> str:
    return "" if process_id == container_id else process_id


_DECODERS: dict[str, Callable[[bytes], Payload]] = {
    "containerd.events.TaskCreate": _create,
    "containerd.events.TaskStart": _start,
    "containerd.events.TaskExecStarted": _exec_started,
    "containerd.events.TaskExit": _exit,
    "containerd.events.TaskOOM": _oom,
    "containerd.events.TaskDelete": _delete,
}
