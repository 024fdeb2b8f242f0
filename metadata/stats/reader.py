"""Reads what one container uses, from files that stay open: a sample is a handful of preads.

Open files keep neither a cgroup nor a network namespace alive: a removed cgroup answers ENODEV,
and of the network only the process's directory in /proc is kept open, which belongs to that process
even when its id is used again. `Reader`s block (briefly); `sampler` has a thread for them.
"""

import errno
import os
from pathlib import Path

from metadata.stats.cgroup import V1, V2, Layout, Limits, number

_SIZE = 4096  # more than such a file has, but on hosts with dozens of disks
_ABSENT = -1
_INTERFACES_SIZE = 64 * 1024  # some hundreds; who may make interfaces can make thousands a second


class Gone(Exception):
    """The cgroup doesn't exist or no process is left in it."""


def layout(cgroupfs: Path) -> Layout:
    """The layout of the cgroups mounted there."""
    return V2 if (cgroupfs / "cgroup.controllers").exists() else V1


class Reader:
    """The files of the cgroup `path` below the mount, and the network of one of its processes.

    `limits` are those at the time of opening. Opening raises Gone, and OSError for what else keeps
    a file from being opened, such as too many open files. It must be closed.
    """

    __slots__ = ("_files", "_network", "limits", "path", "pid")

    def __init__(self, cgroupfs: Path, found: Layout, path: str, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        self._network = _ABSENT
        self._files: list[int] = []
        try:
            for controller, name in found.files:
                self._files.append(_opened(f"{cgroupfs}/{controller}/{path}/{name}"))
            self.limits = _limits(cgroupfs, found, path)
        except BaseException:
            self.close()
            raise
        if self._files[0] == _ABSENT:
            self.close()
            raise Gone(path)

    def read(self) -> list[bytes]:
        """The contents of the layout's files, in their order. Raises Gone."""
        try:
            contents = [
                os.pread(file, _SIZE, 0) if file != _ABSENT else b"" for file in self._files
            ]
            if _SIZE in map(len, contents):
                contents = [_content(file) for file in self._files]
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise Gone(self.path) from None
            raise
        if contents[-1] == b"0\n":  # an empty cgroup is that of a stopped container
            raise Gone(self.path)
        return contents

    def interfaces(self, procfs: Path) -> bytes | None:
        """/proc/<pid>/net/dev, or its beginning if it is long.

        None without a network of its own, and when the process has ended.

        It says nothing unless `read` finds the cgroup alive afterwards: only then is the process
        id still the container's.
        """
        if self.pid is None:
            return None
        try:
            if self._network == _ABSENT:
                self._network = os.open(f"{procfs}/{self.pid}/net", os.O_PATH)
            file = os.open("dev", os.O_RDONLY, dir_fd=self._network)
        except (FileNotFoundError, ProcessLookupError):
            return None
        try:
            return _lines(file, _INTERFACES_SIZE)
        except OSError:  # it ended just now; its cgroup tells what that means
            return None
        finally:
            os.close(file)

    def close(self) -> None:
        """Closes all files. Nothing can be read any more."""
        for file in (*self._files, self._network):
            if file != _ABSENT:
                os.close(file)
        self._files, self._network = [], _ABSENT


def _opened(path: str) -> int:
    """The open file, `_ABSENT` when this kernel or this cgroup doesn't have it."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return _ABSENT


def _content(file: int) -> bytes:
    """Files of cgroups give all they have to a read that has room for it."""
    if file == _ABSENT:
        return b""
    size = _SIZE
    while len(content := os.pread(file, size, 0)) == size:
        size *= 2
    return content


def _lines(file: int, most: int) -> bytes:
    """All lines, or the first in about so many bytes.

    /proc gives lists a page at a time, each as full as whole lines make it but the last.
    """
    content = part = os.read(file, _SIZE)
    while len(part) > _SIZE // 2 and len(content) < most:
        part = os.read(file, _SIZE)
        content += part
    return content[: content.rfind(b"\n") + 1]


def _limits(cgroupfs: Path, found: Layout, path: str) -> Limits:
    controller, name = found.process_limit
    processes = _number(cgroupfs / controller / path.lstrip("/") / name)
    if not found.memory_limit:
        return Limits(processes)
    cgroup = cgroupfs / path.lstrip("/")
    levels = [each for each in (cgroup, *cgroup.parents) if each.is_relative_to(cgroupfs)]
    limits = [_number(each / found.memory_limit) for each in levels]
    return Limits(processes, min((each for each in limits if each is not None), default=None))


def _number(path: Path) -> int | None:
    file = _opened(str(path))
    if file == _ABSENT:
        return None
    try:
        return number(_content(file).decode())
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise Gone(str(path)) from None
        raise
    finally:
        os.close(file)
