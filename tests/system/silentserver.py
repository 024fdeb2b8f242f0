"""A file system whose server never answers: whoever looks into it waits until it is killed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.host.volumes import mountpoints

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def silent(folder: Path) -> Iterator[None]:
    """FUSE is mounted on the directory, and nobody reads what the kernel asks."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        mount(device, folder)
        try:
            yield
        finally:
            mountpoints.detach(folder)
    finally:
        os.close(device)  # and all that wait are told that there is nobody


def mount(device: int, folder: Path) -> None:
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if _libc.mount(b"silent", os.fsencode(folder), b"fuse", 0, options.encode()) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
