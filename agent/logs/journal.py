"""What was read from a container's FIFOs and is not in its log yet. Survives kill -9.

Reading a FIFO consumes it, so a router killed between reading and writing would lose up to a pipe
full of output. Therefore bytes are not read out of the FIFO but moved by splice(2), in one system
call, into a spool file on the run directory's tmpfs; only then are they turned into lines and
appended to the log, and then a *mark* says how much of the spool is in the log and how long the
log was. After a crash the log is cut back to the length in the mark (undoing an append that was
not marked), and the spool from the mark on is written again: each line is there once.

The mark is one write of 48 bytes within a page, so a killed process leaves the old one or the new
one. None of this is about power loss: the run directory does not survive it, nor do containers.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

TURN = 64 * 1024
"""Bytes taken from a FIFO at a time: what a pipe holds. Bounded, so that nobody starves."""

# Log inode and size; then for stdout and stderr: bytes of the spool that are in the log, and the
# length to cut the spool to (-1: as it is), set only while it is being compacted.
MARK = struct.Struct("=QQqqqq")
COMPACT = 4096
"""Spools are emptied once this much of them is in the log: a page is what a file costs anyway."""

FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
NAMES = ("stdout", "stderr")


class Position(NamedTuple):
    """Where a log stands: which file, and its length in bytes."""

    inode: int
    size: int


NOWHERE = Position(0, 0)


class Spool:
    """The bytes of one FIFO. ``[done:end]`` of the file is not in the log yet."""

    __slots__ = ("cut", "done", "end", "fd")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, FLAGS, 0o600)
        self.done = 0
        self.end = 0
        self.cut = -1

    def restore(self, done: int, cut: int) -> None:
        if cut >= 0:
            os.ftruncate(self.fd, cut)
        self.end = os.fstat(self.fd).st_size
        self.done = min(done, self.end)

    def pending(self) -> bytes:
        return os.pread(self.fd, self.end - self.done, self.done)


class Journal:
    """The spools and the mark of one container. ``position`` is the log's at the last mark."""

    __slots__ = ("_mark", "_paths", "_spools", "position")

    def __init__(self, prefix: str) -> None:
        """Opens the files ``prefix``.mark, .stdout and .stderr, or makes them."""
        self._paths = [f"{prefix}.{name}" for name in ("mark", *NAMES)]
        self._mark = os.open(self._paths[0], FLAGS, 0o600)
        self._spools = {
            name: Spool(path) for name, path in zip(NAMES, self._paths[1:], strict=True)
        }
        self.position = NOWHERE
        mark = os.pread(self._mark, MARK.size, 0)
        if len(mark) == MARK.size:
            inode, size, *spools = MARK.unpack(mark)
            self.position = Position(inode, size)
            self._spools["stdout"].restore(spools[0], spools[1])
            self._spools["stderr"].restore(spools[2], spools[3])

    def pending(self, name: str) -> bytes:
        """What was read from the FIFO before a restart and is not in the log."""
        return self._spools[name].pending()

    def take(self, name: str, fifo: int) -> bytes:
        """The next bytes of the FIFO, kept until ``settle``; empty at its end.

        Raises ``BlockingIOError`` when there are none now. When the run directory is full, the
        bytes are read without being kept: the container must not be held up.
        """
        spool = self._spools[name]
        try:
            count = os.splice(
                fifo, spool.fd, TURN, offset_dst=spool.end, flags=os.SPLICE_F_NONBLOCK
            )
        except BlockingIOError:
            raise
        except OSError:
            self._empty(spool)
            return os.read(fifo, TURN)
        start, spool.end = spool.end, spool.end + count
        return os.pread(spool.fd, count, start)

    def settle(self, name: str, left: int, position: Position) -> None:
        """All but the last ``left`` bytes of the stream are in the log, which stands there."""
        spool = self._spools[name]
        # A line's beginning may have been read without being kept: then there is less than left.
        spool.done = max(0, spool.end - left)
        self.mark(position)
        if spool.done >= COMPACT and spool.end - spool.done <= spool.done:
            self._compact(spool)

    def mark(self, position: Position) -> None:
        """The log stands there."""
        self.position = position
        out, err = (self._spools[name] for name in NAMES)
        os.pwrite(self._mark, MARK.pack(*position, out.done, out.cut, err.done, err.cut), 0)

    def close(self) -> None:
        """Closes the files and keeps them."""
        os.close(self._mark)
        for spool in self._spools.values():
            os.close(spool.fd)

    def remove(self) -> None:
        """Closes the files and removes them."""
        self.close()
        for path in self._paths:
            Path(path).unlink(missing_ok=True)

    def _compact(self, spool: Spool) -> None:
        """Move the rest to the front, where it does not overlap, and cut the file behind it."""
        rest = spool.pending()
        os.pwrite(spool.fd, rest, 0)
        self._cut(spool, len(rest))

    def _empty(self, spool: Spool) -> None:
        self._cut(spool, 0)

    def _cut(self, spool: Spool, length: int) -> None:
        # Marked before and after, so that a crash on any of these lines is repaired by restore.
        spool.done, spool.cut = 0, length
        self.mark(self.position)
        os.ftruncate(spool.fd, length)
        spool.end, spool.cut = length, -1
        self.mark(self.position)
