"""The log of who asked for credentials, in the form of the ECS agent's.

    time status remote-addr "path" "user-agent" task-arn event-type 2 cluster instance-arn

A request that was refused has no role, so its line ends after the task, which is `-`. Ids are cut
out of paths, and queries are left out, so no id gets into the log. It never keeps an answer from
being given: a line that can't be written is lost, and that is said once. Of what is refused, each
owner of a socket has so many lines a second (`REFUSED`): else a container would drive out of the
log who was given credentials, by asking for what it does not get.
"""

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metadata.credentials.keys import second_text
from metadata.front.asking import Asking
from metadata.front.limits import Buckets, Rate
from metadata.source import InstanceFacts

TASK_ROLE: Final = "GetCredentials"
EXECUTION_ROLE: Final = "GetCredentialsExecutionRole"

REFUSED: Final = Rate(per_second=1.0, burst=60)

_VERSION: Final = "2"
_NOTHING: Final = "-"
_MODE: Final = 0o640
_SIZE_LIMIT: Final = 32 * 1024 * 1024  # bytes; as much again is kept of what was before
_TEXT_LIMIT: Final = 256  # characters of what a client chooses
_WAITING_LIMIT: Final = 4096
_PATIENCE_S: Final = 0.5
_IDS_FOLLOW: Final = ("v3", "v4", "api")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """Whose credentials were given out: a task, and one of its two roles."""

    task_arn: str
    event: str


class Audit:
    """Lines go to `path` in their order, from a thread of their own; None is no log."""

    def __init__(
        self,
        path: Path | None,
        instance: InstanceFacts,
        clock: Callable[[], float],
        size_limit: int = _SIZE_LIMIT,
    ) -> None:
        self._file = None if path is None else _File(path, size_limit)
        self._tail = (_VERSION, instance.cluster or _NOTHING, instance.arn or _NOTHING)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "audit")
        self._refused = Buckets(REFUSED)
        self._places = threading.Semaphore(_WAITING_LIMIT)

    async def record(self, asking: Asking, status: int, given: Given | None = None) -> None:
        """The request is in the log, unless that takes so long that the client would notice."""
        written = self._submit(asking, status, given)
        if written is not None:
            await asyncio.wait([asyncio.wrap_future(written)], timeout=_PATIENCE_S)

    def turned_away(self, asking: Asking) -> None:
        """A request above the rate limit will be in the log."""
        self._submit(asking, 429, None)

    def close(self) -> None:
        """All lines are written; nothing may be recorded any more. Blocking."""
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()

    def _submit(self, asking: Asking, status: int, given: Given | None) -> Future[None] | None:
        if given is None and not self._refused.admit(asking.owner, ""):
            return None
        if self._file is None or not self._places.acquire(blocking=False):
            return None
        fields = [second_text(self._clock()), str(status), asking.remote or _NOTHING]
        agent = asking.headers.get("User-Agent", "")
        fields += [_quoted(_without_ids(asking.path)), _quoted(agent)]
        fields += [_NOTHING] if given is None else [given.task_arn, given.event, *self._tail]
        written = self._thread.submit(self._file.append, " ".join(fields))
        written.add_done_callback(lambda _: self._places.release())
        return written


@dataclass(slots=True)
class _File:
    """A file that others may rotate away; when it is large it gives way by itself.

    A container may ask without end. Used by one thread.
    """

    path: Path
    most: int
    _descriptor: int = -1
    _inode: tuple[int, int] = (0, 0)
    _broken: str = ""
    _begun: str = ""  # ends a line that did not fit on the disk

    def append(self, line: str) -> None:
        """One write for the line."""
        try:
            self._reopen_if_moved()
            whole = f"{self._begun}{line}\n".encode(errors="replace")
            self._begun = "" if os.write(self._descriptor, whole) == len(whole) else "\n"
            if os.fstat(self._descriptor).st_size > self.most:
                self.path.replace(f"{self.path}.1")
        except OSError as error:
            if str(error) != self._broken:
                log.warning("can't write the audit log %s: %s", self.path, error.strerror)
            self._broken = str(error)
        else:
            self._broken = ""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reopen_if_moved(self) -> None:
        if self._descriptor >= 0:
            try:
                if _inode(self.path.stat()) == self._inode:
                    return
            except FileNotFoundError:
                pass
            self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, _MODE)
        self._inode = _inode(os.fstat(self._descriptor))


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _without_ids(path: str) -> str:
    """`/v2/credentials/ID` without the end, `/v4/ID/task` with `-` for the id."""
    parts = path.split("/")
    if parts[1:3] == ["v2", "credentials"]:
        return "/v2/credentials"
    if len(parts) > 2 and parts[1] in _IDS_FOLLOW:
        parts[2] = _NOTHING
    return "/".join(parts)


def _quoted(text: str) -> str:
    """In quotes and on one line, whatever a client sent."""
    return json.dumps(text[:_TEXT_LIMIT])
