"""Reading a container's root file system before the container runs.

The snapshot is mounted for a moment in a mount namespace of a thread's own, so nothing shows on the
host and nothing stays if the agent dies meanwhile. Paths are resolved inside the root only
(openat2(2) with RESOLVE_IN_ROOT): a link in a hostile image can't lead out of it.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from agent.containerd.types import Mount

FILE_LIMIT = 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 4096, 16384, 1 << 18
_SYS_OPENAT2 = 437  # the same number on every architecture: it came after their unification
_RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def read_files(mounts: Iterable[Mount], paths: Iterable[str], scratch: Path) -> dict[str, str]:
    """The text of each of ``paths`` in the root that ``mounts`` make; empty where there is none.

    ``scratch`` is an existing empty directory to mount on. Blocking. Raises OSError when the root
    can't be mounted.
    """
    found: dict[str, str] = {}
    inside(mounts, scratch, lambda root: found.update({path: _read(root, path) for path in paths}))
    return found


def inside(mounts: Iterable[Mount], scratch: Path, work: Callable[[int], None]) -> None:
    """Does ``work`` with a descriptor of the root that ``mounts`` make, which only it can see.

    Blocking. Raises OSError when the root can't be mounted, and what ``work`` raises.
    """

    def do() -> None:
        _enter_own_mounts()
        for each in mounts:
            _mount(each, scratch)
        root = os.open(scratch, os.O_PATH | os.O_DIRECTORY)
        try:
            work(root)
        finally:
            os.close(root)

    # A mount namespace belongs to a thread and ends with it, and the mounts with that.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rootfs") as thread:
        thread.submit(do).result()


def open_inside(root: int, path: str, flags: int) -> int:
    """A descriptor of ``path`` below ``root``; no link on the way leads out. Raises OSError."""
    how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT)
    size = ctypes.sizeof(how)
    return _check(_libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), size))


def _enter_own_mounts() -> None:
    _check(_libc.unshare(_CLONE_FS | _CLONE_NEWNS))
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))


def _mount(mount: Mount, target: Path) -> None:
    flags = _MS_RDONLY
    data = []
    for option in mount.options:
        if option in ("bind", "rbind"):
            flags |= _MS_BIND
        elif option not in ("ro", "rw"):
            data.append(option)
    _check(
        _libc.mount(
            os.fsencode(mount.source),
            os.fsencode(target),
            os.fsencode(mount.type),
            flags,
            os.fsencode(",".join(data)),
        )
    )


def _read(root: int, path: str) -> str:
    with suppress(OSError):
        fd = open_inside(root, path, os.O_PATH | os.O_CLOEXEC)
        try:
            # To open a device can be to set it off, and an image may have any.
            if stat.S_ISREG(os.fstat(fd).st_mode):
                with Path(f"/proc/self/fd/{fd}").open("rb") as file:
                    return file.read(FILE_LIMIT).decode(errors="replace")
        finally:
            os.close(fd)
    return ""


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


_libc.syscall.restype = ctypes.c_long
