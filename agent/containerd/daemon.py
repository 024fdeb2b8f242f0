"""A detached process that outlives us and is found again: its pid file, its pidfd, its end.

``embedded`` decides what to run and when. asyncio's own subprocesses are no use here, as they are
killed together with the event loop that started them. The process writes its pid file itself,
before it becomes the daemon, so there is no instant at which it runs unrecorded.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# $0 is the pid file. Its content is the process's own line of proc(5) stat: pid and start time.
_RECORD_AND_BECOME = 'read -r stat </proc/$$/stat && echo "$stat" >"$0" && exec "$@"'

_STATE, _START_TIME = 0, 19
"""Fields of proc(5) stat, counted from the first one after the command's name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for as long as this boot lasts; a pid alone may be given to another one."""

    pid: int
    start_time: str


def spawn(
    command: Sequence[str], environment: Mapping[str, str], *, pid_file: Path, log: Path
) -> int:
    """Start the command in a session of its own, its output appended to ``log``; gives the pid."""
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", _RECORD_AND_BECOME, str(pid_file), *command],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE],
    )


class Daemon:
    """A running process held by its pidfd, so that what is signalled is never another one."""

    def __init__(self, pid: int, pidfd: int) -> None:
        """Take over ``pidfd``, which is one of process ``pid``."""
        self.pid = pid
        self._pidfd = pidfd
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._on_end)

    @classmethod
    def child(cls, pid: int) -> Self:
        """A process that we have just spawned: nobody but us can free its pid."""
        return cls(pid, os.pidfd_open(pid))

    @classmethod
    def find(cls, pid_file: Path) -> Self | None:
        """The process that wrote the pid file, if it still runs."""
        wanted = _identity(pid_file)
        if wanted is None:
            return None
        try:
            pidfd = os.pidfd_open(wanted.pid)
        except ProcessLookupError:
            return None
        # Read after opening: from here on the pidfd and the line speak of the same process.
        if _identity(Path(f"/proc/{wanted.pid}/stat")) != wanted:
            os.close(pidfd)
            return None
        return cls(wanted.pid, pidfd)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    async def ended(self) -> None:
        """Return once the process has ended."""
        await self._ended.wait()

    async def ended_within(self, seconds: float) -> bool:
        """Whether it ends, or has ended, in that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended()
        return not self.running

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def release(self) -> None:
        """Let go of the process, which runs on."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        with suppress(ChildProcessError):  # adopted: its parent was an earlier agent
            os.waitpid(self.pid, os.WNOHANG)
        self._ended.set()


def _identity(stat: Path) -> Identity | None:
    """Who a line of proc(5) stat speaks of; None for a zombie, no file, or no such line."""
    try:
        head, closed, tail = stat.read_text().rpartition(")")
        fields = tail.split()
        if not closed or fields[_STATE] == "Z":
            return None
        return Identity(int(head.partition(" ")[0]), fields[_START_TIME])
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return None
