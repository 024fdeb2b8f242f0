"""Listening sockets that go from one program to the next, by the protocol of sd_listen_fds(3).

A service manager passes on what it was given to keep, and a program that executes its successor
does the same: the descriptors from 3 on, and three variables that say how many, whose and which.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple, NoReturn

FIRST = 3
"""The first descriptor passed on (SD_LISTEN_FDS_START)."""
MOST = 4096
"""How many sockets are passed on. Their names are one variable, which the kernel lets have 128 KiB
(execve(2)): up to 31 bytes each."""

_PID, _COUNT, _NAMES = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"


class Named(NamedTuple):
    """A socket under a name, which several may share."""

    name: str
    socket: socket.socket


def inherited(environ: MutableMapping[str, str]) -> list[Named]:
    """The sockets that were passed to this process, which don't block and which no child gets.

    To be called before anything else is opened. The variables are taken out of ``environ``.
    Descriptors that are no sockets are closed.
    """
    pid, count, names = (environ.pop(each, "") for each in (_PID, _COUNT, _NAMES))
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    descriptors = range(FIRST, FIRST + int(count))
    named = zip(descriptors, chain(names.split(":"), repeat("")), strict=False)
    return [each for number, name in named for each in _opened(number, name)]


def become(
    command: Sequence[str], sockets: Sequence[Named], environ: Mapping[str, str]
) -> NoReturn:
    """Executes ``command`` in place of this process, and passes the sockets to it.

    Only for the end of everything else: descriptors from 3 on are overwritten. Raises OSError if
    the program can't be executed.
    """
    sockets = sockets[:MOST]
    beyond = FIRST + len(sockets)
    moved = [fcntl.fcntl(each.socket, fcntl.F_DUPFD_CLOEXEC, beyond) for each in sockets]
    for number, descriptor in enumerate(moved, FIRST):
        os.dup2(descriptor, number)
    variables = {
        _PID: str(os.getpid()),
        _COUNT: str(len(sockets)),
        _NAMES: ":".join(each.name for each in sockets),
    }
    os.execve(command[0], tuple(command), {**environ, **variables})  # noqa: S606 - what this is for


def own_command() -> list[str]:
    """What started this program: interpreter, its options, script and arguments.

    A script that names its interpreter goes first, so that the process keeps the script's name.
    """
    script = sys.orig_argv[1]
    if _names_its_interpreter(script):
        return sys.orig_argv[1:]
    return [sys.executable, *sys.orig_argv[1:]]


def _names_its_interpreter(script: str) -> bool:
    try:
        with Path(script).open("rb") as file:
            return os.access(script, os.X_OK) and file.read(2) == b"#!"
    except OSError:
        return False


def _opened(number: int, name: str) -> Iterator[Named]:
    try:
        os.set_inheritable(number, False)  # noqa: FBT003 - takes no keywords
        found = socket.socket(fileno=number)
    except OSError:
        with suppress(OSError):
            os.close(number)
        return
    found.settimeout(0)
    yield Named(name, found)
