"""Removing a directory and nothing that is mounted below it.

A mount below it may be anybody's data: a disk, another directory of the host, a file server. The
file system's number doesn't tell (a bind mount has the same), and what was looked up before may be
mounted after. So the directory is removed through a clone of its mount without what is mounted
below (open_tree(2)): there is no way from it to other data.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from agent.host.volumes import mountpoints

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_SYS_OPEN_TREE = 428  # the same number on every architecture: it came after their unification
_AT_FDCWD, _CLONE = -100, 1


def remove(path: Path) -> None:
    """The directory is gone, and nothing is mounted below it. Raises OSError."""
    try:
        parent = _cloned(path.parent)
    except FileNotFoundError:
        return
    try:
        mountpoints.detach(path)
        shutil.rmtree(path.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def sweep(folder: Path) -> None:
    """What a crash has left half made or half removed in ``folder`` (names with a dot) is gone."""
    for each in folder.glob(".*"):
        remove(each)


def _cloned(path: Path) -> int:
    """A descriptor of the directory on a mount of its own, on which nothing is mounted."""
    number = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _CLONE | os.O_CLOEXEC)
    if number < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(path))
    return int(number)
