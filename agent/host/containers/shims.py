"""Shims that outlived their containers.

A creation whose caller goes away (the agent is killed, a deadline runs out) is undone by
containerd, but it may lose sight of the shim process meanwhile, which then waits for ever. Such a
shim is known by its arguments; it is ended when all containers of its task are gone.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_NAME = "containerd-shim"
_GRACE_MS = 2000


def end_leftover(namespace: str, address: Path, container_ids: Collection[str]) -> list[int]:
    """No shim of these containers, of this containerd, is left; gives the pids that were ended.

    Blocking, for as long as such a process takes to end. The caller knows that nothing runs in
    them.
    """
    ended = []
    for pid, container_id in _ours(namespace, address):
        if container_id in container_ids:
            _end(pid)
            ended.append(pid)
    return ended


def end_idle(namespace: str, address: Path, known: Collection[str]) -> list[int]:
    """No shim without a process is left of containers that are not ``known``; gives the pids.

    Blocking, as above.
    """
    ended = []
    for pid, container_id in _ours(namespace, address):
        if container_id not in known and _is_idle(pid):
            _end(pid)
            ended.append(pid)
    return ended


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


def _end(pid: int) -> None:
    """Ends one process by SIGTERM, else SIGKILL; held by its pidfd, it can't be another one."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(_GRACE_MS):
                return
    finally:
        os.close(pidfd)
