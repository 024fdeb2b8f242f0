"""Namespaces and shared memory kept by mounts on the host. Blocking; each function idempotent.

References: namespaces(7), ipc_namespaces(7), tmpfs(5), mount(2).
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cni.kernel import netns

_CLONE_NEWIPC = 0x08000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND = 2, 4, 8, 4096
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_OWN_IPC = "/proc/thread-self/ns/ipc"

_libc = ctypes.CDLL(None, use_errno=True)


def is_pinned(path: Path) -> bool:
    """Whether a namespace is mounted at ``path``, of whatever kind."""
    return netns.exists(path)


def pin_new_ipc(path: Path) -> None:
    """A new IPC namespace is mounted at ``path``, unless there is one. Raises OSError."""
    if is_pinned(path):
        return

    def work() -> None:
        _check(_libc.unshare(_CLONE_NEWIPC), "make an IPC namespace")
        pin(Path(_OWN_IPC), path)

    # A thread may leave its IPC namespace alone; it ends with that, so nobody meets it there.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ipc namespace") as thread:
        thread.submit(work).result()


def pin(source: Path, path: Path) -> None:
    """The namespace ``source`` (below /proc) is mounted at ``path``. Raises OSError."""
    _make_private(path.parent)
    path.touch(mode=0o444)
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(path), b"none", _MS_BIND, None), f"pin {path}"
    )


def unpin(path: Path) -> None:
    """No namespace is mounted at ``path``, and no file is there. Raises OSError."""
    netns.remove(path)


def is_memory(path: Path) -> bool:
    """Whether a file system of its own is mounted at ``path``."""
    return path.is_dir() and path.is_mount()


def mount_memory(path: Path, size_mib: int) -> None:
    """A tmpfs for every user of containers is mounted at ``path``, unless there is one.

    Users of the host don't get there. Raises OSError.
    """
    _make_private(path.parent)
    path.mkdir(exist_ok=True, mode=0o711)
    if is_memory(path):
        return
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    options = f"mode=1777,size={size_mib}m".encode()
    _check(
        _libc.mount(b"shm", os.fsencode(path), b"tmpfs", flags, options), f"mount memory at {path}"
    )


def unmount_memory(path: Path) -> None:
    """Nothing is mounted at ``path``, and no directory is there. Raises OSError."""
    while is_memory(path):
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW), f"unmount {path}")
    if path.exists():
        path.rmdir()


def _make_private(directory: Path) -> None:
    """The directory is there and root's alone: other users see all mounts, and so its names."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)


def _check(status: int, what: str) -> None:
    if status != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"can't {what}: {os.strerror(code)}")
