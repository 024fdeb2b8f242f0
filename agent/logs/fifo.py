"""Opening FIFOs for reading. Used by ``stream``.

A FIFO that was opened for reading while nobody writes to it reports no hang-up until a writer has
come and gone (the kernel compares writer counts), so an open FIFO simply waits for its container.
After a hang-up it must be opened anew, or it would report the same one for ever.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path


class NotAFifo(Exception):
    """Something else lies where a FIFO should be."""


def make_fifo(path: str) -> None:
    """A FIFO lies at ``path``, readable by root only; its folder is made if need be."""
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)


def open_fifo(path: str) -> int:
    """A non-blocking reader of the FIFO, which need not have a writer.

    Raises ``NotAFifo``, or ``FileNotFoundError`` when nothing is there.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFifo(f"{path}: not a FIFO")
    return fd
