"""Removing a directory and nothing that is mounted below it.

A mount below it may be anybody's data: a disk, another directory of the host, a file server. The
file system's number doesn't tell (a bind mount has the same), and what was looked up before may be
mounted after. So the directory is removed through a clone of its mount without what is mounted
below (open_tree(2)): there is no way from it to other data.

What is in it was made by containers, which may nest directories as deep as they like. So it is gone
through step by step, down by name and up by ``..``, with one directory open at a time: neither
Python's stack nor the number of open files sets a limit.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from pathlib import Path

from agent.host.volumes import mountpoints

log = logging.getLogger(__name__)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_SYS_OPEN_TREE = 428  # the same number on every architecture: it came after their unification
_AT_FDCWD, _CLONE = -100, 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: Path) -> None:
    """The directory is gone, and nothing is mounted below it. Raises OSError."""
    try:
        parent = _cloned(path.parent)
    except FileNotFoundError:
        return
    try:
        mountpoints.detach(path)
        if not _gone(path.name, parent):
            _remove_below(path.name, parent)
    finally:
        os.close(parent)


def sweep(folder: Path) -> None:
    """What a crash has left half made or half removed in ``folder`` (names with a dot) is gone.

    What resists (a file that a container has made immutable) is told of, and stays.
    """
    for each in folder.glob(".*"):
        try:
            remove(each)
        except OSError as error:
            log.warning("can't remove %s, which was left half removed: %s", each, error)


def _remove_below(name: str, parent: int) -> None:
    """The directory ``name`` in ``parent`` is gone with all that is in it. Raises OSError."""
    above = [(name, _identity(parent))]
    here = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        full = [_full_directories(here)]
        while above:
            step = full[-1].pop() if full[-1] else ".."
            before, there = _identity(here), os.open(step, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = there
            if step == "..":
                full.pop()
                _remove_emptied(here, *above.pop())
            else:
                above.append((step, before))
                full.append(_full_directories(here))
    finally:
        os.close(here)


def _remove_emptied(folder: int, name: str, expected: tuple[int, int]) -> None:
    if _identity(folder) != expected:
        raise OSError(f"directory {name} was moved while it was removed")
    os.rmdir(name, dir_fd=folder)


def _full_directories(folder: int) -> list[str]:
    """The names of directories in ``folder`` with something in them; all else is gone."""
    with os.scandir(folder) as entries:
        return [each.name for each in entries if not _gone(each.name, folder)]


def _gone(name: str, folder: int) -> bool:
    """Whether it is, or could be removed as it is; False: a directory with something in it."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
    return True


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


def _cloned(path: Path) -> int:
    """A descriptor of the directory on a mount of its own, on which nothing is mounted."""
    number = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _CLONE | os.O_CLOEXEC)
    if number < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(path))
    return int(number)
