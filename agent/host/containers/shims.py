"""Shims that outlived their containers.

A creation whose caller goes away (the agent is killed, a deadline runs out) is undone by
containerd, but it may lose sight of the shim process meanwhile, which then waits for ever: for
somebody to read its log, while others connect to its socket and get no answer. Such a shim is
known by its arguments. It is ended before its task makes another process, or when all containers of
the task are gone.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

_NAME = "containerd-shim"
_GRACE_MS = 2000

SOCKETS = Path("/run/containerd/s")
"""Where shims' sockets are, whatever containerd's own directories (its ``SocketAddress``)."""


def end_leftover(namespace: str, address: Path, container_ids: Collection[str]) -> list[int]:
    """No shim of these containers, of this containerd, is left; gives the pids that were ended.

    Blocking, for as long as such a process takes to end. The caller knows that nothing runs in
    them.
    """
    return [pid for pid in of(namespace, address, container_ids) if _end(pid)]


def end_idle(namespace: str, address: Path, container_ids: Collection[str]) -> list[int]:
    """The same of those shims only that have no process.

    The caller knows that containerd has nothing to ask them.
    """
    pids = of(namespace, address, container_ids)
    return [pid for pid in pids if _is_idle(pid) and _end(pid)]


def end_unknown(namespace: str, address: Path, known: Collection[str]) -> list[int]:
    """The same of all containers that are not ``known``."""
    strange = {each for _, each in _ours(namespace, address)} - {*known}
    return end_idle(namespace, address, strange)


def remove_sockets(namespace: str, address: Path, groups: Iterable[str]) -> None:
    """Nothing is left of the sockets of shims of these groups. A shim that was killed leaves its.

    A group is what a record's GROUP_ANNOTATION says, or else the container's id. Names of sockets
    are a digest of that, of the containerd that asked for the shim, and of its namespace: those of
    others are other names. The caller knows that these groups have no shim. One that can't be
    removed does no harm.
    """
    for each in groups:
        name = sha256(bytes(address / namespace / each)).hexdigest()
        with suppress(OSError):
            (SOCKETS / name).unlink()


def of(namespace: str, address: Path, container_ids: Collection[str]) -> list[int]:
    """The pids of the shims that were started for these containers. Blocking."""
    return [pid for pid, each in _ours(namespace, address) if each in container_ids]


def _ours(namespace: str, address: Path) -> Iterator[tuple[int, str]]:
    """Shims of this containerd namespace, each with the container that it was started for."""
    for pid, arguments in _shims():
        options = dict(zip(arguments[1::2], arguments[2::2], strict=False))
        if options.get("-namespace") == namespace and options.get("-address") == str(address):
            yield pid, options.get("-id", "")


def _is_idle(pid: int) -> bool:
    try:
        return not psutil.Process(pid).children()
    except psutil.Error:
        return False


def _shims() -> Iterator[tuple[int, list[str]]]:
    """Not what others have named so: to end many that resist would take up the agent for long."""
    namespace = _pid_namespace("self")
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if (
                process.name().startswith(_NAME)
                and process.uids().effective == os.geteuid()
                and _pid_namespace(process.pid) == namespace
            ):
                yield process.pid, process.cmdline()


def _pid_namespace(process: int | str) -> int:
    return Path(f"/proc/{process}/ns/pid").stat().st_ino


def _end(pid: int) -> bool:
    """Ends one process by SIGTERM, else SIGKILL; held by its pidfd, it can't be another one.

    Gives whether there was one.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(_GRACE_MS):
                break
        return True
    finally:
        os.close(pidfd)
