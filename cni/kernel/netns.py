"""Network namespaces kept by a bind mount, and the one thread that hops between them.

Used by whoever owns the life of a namespace (the caller of the plugins) and by `bridge`. What is
done inside a namespace is the caller's function; `rtnetlink`, `loopback` and `sysctl` have some.

A socket stays for ever in the namespace where it was made, so entering is needed only to make
sockets and to reach /proc/sys/net. An open socket or descriptor of a namespace keeps it and its
interfaces alive after `remove`: close them first.

References: network_namespaces(7), setns(2), mount_namespaces(7).
"""

import ctypes
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from cni.errors import CNIError, Code

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_T = TypeVar("_T")

_CLONE_NEWNET: Final = 0x40000000
_MS_BIND: Final = 0x1000
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_SIOCGSKNS: Final = 0x894C
# Of the thread, not of the process: the main thread may be in another namespace.
_OWN: Final = "/proc/thread-self/ns/net"
_DEADLINE_S: Final = 25.0

# mount(2) is not in the standard library, setns(2) only from Python 3.12 on.
_libc: Final = ctypes.CDLL(None, use_errno=True)


@cache
def _namespaces_device() -> int:
    """The device of nsfs, on which the kernel has all namespaces; the same until it restarts."""
    return Path(_OWN).stat().st_dev


def exists(path: Path) -> bool:
    """Whether a namespace is mounted at `path`; a plain file left by a crash is none."""
    try:
        return os.stat(path).st_dev == _namespaces_device()  # noqa: PTH116 - several in each ADD
    except FileNotFoundError:
        return False


def is_own(path: Path) -> bool:
    """Whether `path` is the network namespace of the calling thread."""
    return path.samefile(_OWN)


def holds(path: Path | None, sock: socket.socket) -> bool:
    """Whether `sock` was made in the namespace at `path`, or in the calling thread's."""
    opened = fcntl.ioctl(sock, _SIOCGSKNS)  # linux/sockios.h; closed in children
    try:
        return os.path.samestat(os.fstat(opened), (path or Path(_OWN)).stat())
    except FileNotFoundError:
        return False
    finally:
        os.close(opened)


def required(path: Path | None) -> Path:
    """Return `path` when it is a namespace to attach to: there, and not the calling thread's.

    Raises number 8.
    """
    if path is None or not exists(path):
        raise CNIError(Code.INVALID_NAMESPACE, f"{path} is no network namespace")
    if is_own(path):
        raise CNIError(Code.INVALID_NAMESPACE, f"{path} is the namespace of the host itself")
    return path


def enter(path: Path) -> None:
    """Move the calling thread into a namespace, for good. Other threads stay where they are."""
    with descriptor(path) as opened:
        _enter(opened)


@contextmanager
def descriptor(path: Path | None) -> Iterator[int]:
    """A descriptor of the namespace at `path`, or of the calling thread's, for netlink messages."""
    opened = os.open(path or _OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def remove(path: Path) -> None:
    """Unpin the namespace at `path`; one that is not there is fine.

    Returns at once: the kernel takes the namespace and its interfaces down some milliseconds
    after the last process, socket and descriptor in it has gone. Removing the file also detaches
    the mounts of it that other mount namespaces copied.
    """
    while exists(path):
        _checked(_libc.umount2(bytes(path), _MNT_DETACH | _UMOUNT_NOFOLLOW), f"unmount {path}")
    path.unlink(missing_ok=True)


def in_new(work: Callable[[], _T]) -> _T:
    """Return what `work` gives in a network namespace of its own, which is gone afterwards.

    In a thread of its own, which ends there. Raises what `work` raises, and OSError.
    """
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and rarely needed here

    def inside() -> _T:
        _checked(_libc.unshare(_CLONE_NEWNET), "make a network namespace")
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="netns") as executor:
        return executor.submit(inside).result()


class NamespaceThread:
    """One long-lived thread that runs functions inside network namespaces.

    Its home is the namespace of the thread that first calls `submit`. Should it ever fail to come
    home it is given up, what was waiting for it is cancelled, and the next `submit` begins anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, path: Path | None, work: Callable[[], _T]) -> "Future[_T]":
        """Run `work` in the namespace at `path`, or at home; the future has its result or error."""
        # Slow to import, and not every plugin enters a namespace.
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._executor is None:
                # A thread inherits the namespace of the one that starts it: never start it from
                # one that is lost.
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="netns")
            return self._executor.submit(self._visit, path, work)

    def call(self, path: Path | None, work: Callable[[], _T]) -> _T:
        """Like `submit`, and wait; raises TimeoutError after 25 s."""
        return self.submit(path, work).result(_DEADLINE_S)

    def create(self, path: Path) -> None:
        """Make sure that a namespace is pinned at `path`; an existing one is kept as it is."""
        if not exists(path):
            self.call(None, partial(_create, path))

    def stop(self) -> None:
        """End the thread after what it was already asked to do."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

    def _visit(self, path: Path | None, work: Callable[[], _T]) -> _T:
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if path is not None:
                enter(path)
            return work()
        finally:
            self._come_home(home)

    def _come_home(self, home: int) -> None:
        try:
            _enter(home)
        except OSError:
            import logging

            logging.getLogger(__name__).exception(
                "the namespace thread cannot come home; it is replaced"
            )
            with self._lock:
                executor, self._executor = self._executor, None
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
        finally:
            os.close(home)


def _create(path: Path) -> None:
    """Pin a new namespace at `path`; leaves the calling thread inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o444)
    _checked(_libc.unshare(_CLONE_NEWNET), "make a network namespace")
    source = _OWN.encode()
    _checked(
        _libc.mount(source, bytes(path), b"none", ctypes.c_ulong(_MS_BIND), None), f"pin {path}"
    )


def _enter(descriptor: int) -> None:
    _checked(_libc.setns(descriptor, _CLONE_NEWNET), "enter a network namespace")


def _checked(status: int, what: str) -> None:
    if status != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
