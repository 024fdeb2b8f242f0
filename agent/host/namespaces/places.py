"""Which namespaces the containers of a task share, and where they are mounted."""

from __future__ import annotations

from agent.oci.inputs import SharedNamespaces
from agent.task.model import Task
from agent.task.names import Names

PID, IPC, MEMORY = "pid", "ipc", "shm"
KINDS = (PID, IPC, MEMORY)
"""Kinds of what is mounted (``Names.pinned``). Shared memory goes with the IPC namespace."""


def kinds(task: Task) -> tuple[str, ...]:
    """The kinds that the task has."""
    pid = (PID,) if task.definition.pid_mode == "task" else ()
    return (*pid, IPC, MEMORY) if task.definition.ipc_mode == "task" else pid


def shared(task: Task, of: Names) -> SharedNamespaces:
    """Where the namespaces are that the task's containers are to join."""
    paths = {kind: str(of.pinned(kind, task.id)) for kind in kinds(task)}
    return SharedNamespaces(paths.get(PID), paths.get(IPC), paths.get(MEMORY))
