"""Files that hold secrets, and so must be root's alone."""

import os
import stat
from pathlib import Path


class NotPrivate(Exception):
    """The file can't be trusted with a secret; the text names it and says what to do."""


def read_private(path: Path, most: int) -> bytes:
    """What a regular file of root's holds that nobody else may read or write. Blocking.

    Raises NotPrivate, also for a file of more than ``most`` bytes, or OSError.
    """
    # A FIFO in its place must not keep us waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse_exposed(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise NotPrivate(f"{path} has more than {most} bytes")
    return content


def _refuse_exposed(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivate(f"{path} is not a regular file")
    if found.st_uid != 0:
        raise NotPrivate(f"{path} does not belong to root: chown root {path}")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise NotPrivate(f"{path} is open to others (mode {mode:04o}): chmod 600 {path}")
