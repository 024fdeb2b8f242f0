"""What is pinned for tasks that are gone: found by names, and let go. Blocking."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agent.host.namespaces import pins
from agent.host.namespaces.places import IPC, KINDS, MEMORY, PID
from agent.task.model import TaskId
from agent.task.names import Names


def find_orphans(of: Names, tasks: Collection[TaskId]) -> list[Path]:
    """What is pinned for others than these tasks. Blocking."""
    return sorted(
        path for kind in KINDS for path in of.pinned_dir(kind).glob("*") if path.name not in tasks
    )


def remove_orphans(of: Names, tasks: Collection[TaskId]) -> None:
    """None of that is left. Blocking. Raises OSError."""
    for path in find_orphans(of, tasks):
        unpin_all(of, TaskId(path.name))


def unpin_all(of: Names, task_id: TaskId) -> None:
    """Nothing is pinned for the task. Raises OSError."""
    for kind in (PID, IPC):
        pins.unpin(of.pinned(kind, task_id))
    pins.unmount_memory(of.pinned(MEMORY, task_id))
