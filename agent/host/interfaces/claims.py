"""Which task holds which interface: one symbolic link per interface, whose target is the task's id.

A symbolic link is made with its content in one step or not at all (symlink(2)), so that no crash
leaves a claim without its task. They lie below the run directory and vanish at a reboot, as do the
tasks. Two agents with run directories of their own don't see each other's claims: give them
different interfaces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from agent.task.model import TaskId


class Claims:
    """The claims in a directory, of which this object is the only writer. Blocks on tmpfs only."""

    def __init__(self, directory: Path) -> None:
        """Reads what an earlier agent has claimed. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._tasks = {
            each.name: TaskId(str(each.readlink()))
            for each in directory.iterdir()
            if each.is_symlink()
        }
        self._interfaces = {task: interface for interface, task in self._tasks.items()}

    @property
    def holders(self) -> Mapping[str, TaskId]:
        """The task by interface id."""
        return self._tasks

    def of(self, task_id: TaskId) -> str | None:
        """Id of the interface that the task holds."""
        return self._interfaces.get(task_id)

    def take(self, interface: str, task_id: TaskId) -> None:
        """The task holds the interface, which must be free. Raises OSError."""
        (self._directory / interface).symlink_to(task_id)
        self._tasks[interface] = task_id
        self._interfaces[task_id] = interface

    def drop(self, task_id: TaskId) -> None:
        """The task holds none; that it never did is fine. Raises OSError."""
        interface = self._interfaces.get(task_id)
        if interface is None:
            return
        (self._directory / interface).unlink(missing_ok=True)
        del self._tasks[interface], self._interfaces[task_id]

    def drop_all_but(self, alive: Collection[str]) -> list[str]:
        """Only these tasks hold any; returns the ids of the interfaces that are free now."""
        gone = [(interface, task) for interface, task in self._tasks.items() if task not in alive]
        for _, task in gone:
            self.drop(task)
        return [interface for interface, _ in gone]
