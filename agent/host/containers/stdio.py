"""The standard streams of a container's process: FIFOs in the container's own directory.

Output goes to the log router, which opens its ends before the process is made.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.host.logrouter import LogRouter
from agent.logs.protocol import Stream
from agent.task import names
from agent.task.model import Task
from agent.task.names import Names


@dataclass(frozen=True, slots=True)
class Stdio:
    """As Tasks.Create of containerd has them: paths of FIFOs, "" for /dev/null.

    A ``terminal`` has but one output, ``stdout``.
    """

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


NOWHERE = Stdio()
"""Nothing is read, and nobody reads what is written."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Opens and closes the streams of containers."""

    router: LogRouter
    of: Names

    async def open(self, task: Task, name: str) -> Stdio:
        """The streams of the container, with their reader. Raises LogRouterError, OSError."""
        definition, directory = task.container(name), self.of.container_dir(task.id, name)
        terminal, log = definition.pseudo_terminal, definition.log_configuration
        stdout, stderr = str(directory / "stdout"), str(directory / "stderr")
        await self.router.open(
            Stream(
                id=names.container_id(task.id, name),
                log_path=str(self.of.log(task.id, name)),
                stdout=stdout,
                stderr=None if terminal else stderr,
                driver=log.log_driver if log else "json-file",
                options=dict(log.options) if log else {},
            )
        )
        stdin = _silent(directory / "stdin") if definition.interactive else ""
        return Stdio(stdin, stdout, "" if terminal else stderr, terminal)

    async def close(self, task: Task, name: str) -> None:
        """All that the container wrote is in its log. Raises LogRouterError."""
        await self.router.close(names.container_id(task.id, name))


def _silent(path: Path) -> str:
    """A FIFO that nobody writes to: whoever reads from it waits, as long as it is not used."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return str(path)
