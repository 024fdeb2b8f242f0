"""A new volume gets what the image has at the place where it is mounted, as Docker does it.

Its directory gets owner, mode and content of the image's, so that programs of other users than
root can write there and find what the image's author put there. Only an empty volume is filled;
a mark beside it says that a filling has begun, so that one that was cut short is gone on with.

Both sides may be hostile: a link in an image must not lead out of its root, and containers that run
may have the volume mounted and change it meanwhile. So the image's path is resolved inside its root
(``agent.host.containers.rootfs``), and from there on both sides go down by descriptors, following
no link. What is there already stays as it is. Devices, pipes and sockets are left out.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from agent.containerd.types import Mount
from agent.host.containers import rootfs
from agent.host.volumes.binding import Fresh
from agent.host.volumes.errors import VolumeError

DEEPEST = 256
"""Directories below each other. Each costs two descriptors."""

_DRAFT = ".hostler-filling"
_CHUNK = 1 << 30
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTRS = ("security.capability", "user.")

_locks = tuple(threading.Lock() for _ in range(64))
"""Containers of a task are made at the same time, and one of them fills."""


def fill(volumes: Iterable[Fresh], root: Iterable[Mount], scratch: Path) -> None:
    """Each of the volumes is filled that is empty or was not filled to the end.

    ``root`` makes the image's root file system, ``scratch`` is an empty directory to mount it on.
    Blocking. Raises VolumeError, OSError.
    """
    mounts = tuple(root)
    for each in volumes:
        with _locks[hash(each.source) % len(_locks)]:
            if each.mark.exists() or not _has_entries(each.source):
                rootfs.inside(mounts, scratch, partial(_fill, each))


def _has_entries(path: Path) -> bool:
    with os.scandir(path) as entries:
        return any(entries)


def _fill(volume: Fresh, root: int) -> None:
    with ExitStack() as stack:
        try:
            source = rootfs.open_inside(root, volume.path, _DIRECTORY & ~os.O_NOFOLLOW)
        except OSError:
            return  # the image has no directory there
        stack.callback(os.close, source)
        target = os.open(volume.source, _DIRECTORY)
        stack.callback(os.close, target)
        volume.mark.parent.mkdir(parents=True, exist_ok=True)
        volume.mark.touch()
        _copy_content(source, target, 0)
        _copy_facts(source, target)
        volume.mark.unlink()


def _copy_content(source: int, target: int, depth: int) -> None:
    if depth > DEEPEST:
        raise VolumeError(f"the image's directories are nested more than {DEEPEST} deep")
    with os.scandir(source) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            with suppress(FileExistsError):
                if stat.S_ISDIR(mode):
                    _copy_directory(entry.name, source, target, depth)
                elif stat.S_ISREG(mode):
                    _copy_file(entry.name, source, target)
                elif stat.S_ISLNK(mode):
                    _copy_link(entry, source, target)


def _copy_directory(name: str, source: int, target: int, depth: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=target)
    with ExitStack() as stack:
        below = os.open(name, _DIRECTORY, dir_fd=source)
        stack.callback(os.close, below)
        try:
            made = os.open(name, _DIRECTORY, dir_fd=target)
        except NotADirectoryError as error:
            raise FileExistsError(name) from error  # somebody has put something else there
        stack.callback(os.close, made)
        _copy_content(below, made, depth + 1)
        _copy_facts(below, made)


def _copy_file(name: str, source: int, target: int) -> None:
    """It appears whole, and over nothing."""
    if _is_there(name, target):
        return
    with suppress(FileNotFoundError):
        os.unlink(_DRAFT, dir_fd=target)
    with ExitStack() as stack:
        read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        stack.callback(os.close, read)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        written = os.open(_DRAFT, flags, 0o600, dir_fd=target)
        stack.callback(os.close, written)
        while os.sendfile(written, read, None, _CHUNK):
            pass
        _copy_facts(read, written)
        os.rename(_DRAFT, name, src_dir_fd=target, dst_dir_fd=target)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _copy_link(entry: os.DirEntry[str], source: int, target: int) -> None:
    facts = entry.stat(follow_symlinks=False)
    os.symlink(os.readlink(entry.name, dir_fd=source), entry.name, dir_fd=target)
    os.chown(entry.name, facts.st_uid, facts.st_gid, dir_fd=target, follow_symlinks=False)
    times = (facts.st_atime_ns, facts.st_mtime_ns)
    os.utime(entry.name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_facts(source: int, target: int) -> None:
    """Owner, mode, capabilities, times. The owner first: to change it takes bits of the mode."""
    facts = os.fstat(source)
    os.fchown(target, facts.st_uid, facts.st_gid)
    os.fchmod(target, stat.S_IMODE(facts.st_mode))
    for name in os.listxattr(source):
        if name.startswith(_XATTRS):
            with suppress(OSError):  # the volume's file system may have none
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
