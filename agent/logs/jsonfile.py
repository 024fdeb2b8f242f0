"""The driver json-file: Docker's format, with rotation. Used by ``stream``.

Each line of the log is ``{"log":"text\\n","stream":"stdout","time":"2024-05-01T…Z"}`` in UTF-8;
bytes that are not UTF-8 become U+FFFD. Options, named as Docker names them:

    max-size   when the file is this long, the next line starts a new one. A number with k, m or g
               (powers of 1000), -1 for no limit. 10m by default: Docker has no limit, and full
               disks are the best known result of that
    max-file   how many files are kept: path, path.1 ... path.(n-1). 5 by default

Other options are refused before, where task definitions are read. A log that can't be written never
holds up a container: the lines are dropped and counted, and the next ones are tried again.
"""

import os
import re
import time
from contextlib import suppress
from json.encoder import encode_basestring
from pathlib import Path

from agent.logs.journal import Position
from agent.logs.protocol import ProtocolError

MAX_SIZE = 10_000_000
MAX_FILE = 5
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)b?", re.IGNORECASE)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def encoded(stream: str, pieces: list[bytes]) -> list[bytes]:
    """The records of these lines, read just now."""
    end = f',"stream":"{stream}","time":"{timestamp(time.time_ns())}"}}\n'
    return [
        f'{{"log":{encode_basestring(piece.decode("utf-8", "replace"))}{end}'.encode()
        for piece in pieces
    ]


def timestamp(ns: int) -> str:
    """RFC 3339, UTC, always nine digits: times compare as text, a record redone is as long."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def max_size(options: dict[str, str]) -> int | None:
    """Bytes; None for no limit."""
    value = options.get("max-size", str(MAX_SIZE))
    if value == "-1":
        return None
    match = SIZE.fullmatch(value.strip())
    size = float(match[1]) * 1000 ** POWERS[match[2].lower()] if match else 0
    if size < 1:
        raise ProtocolError(f"max-size: {value!r} is not a size such as 10m, or -1")
    return int(size)


def max_file(options: dict[str, str]) -> int:
    value = options.get("max-file", str(MAX_FILE))
    if not re.fullmatch(r"0*[1-9]\d{0,3}", value):
        raise ProtocolError(f"max-file: {value!r} is not a number of files from 1 to 9999")
    return int(value)


class JsonFile:
    """One container's log. ``dropped`` counts lost lines; ``error`` says why, while it lasts."""

    __slots__ = ("_fd", "_inode", "_max_file", "_max_size", "_path", "_size", "dropped", "error")

    def __init__(self, path: str, options: dict[str, str]) -> None:
        """Touches nothing. Raises ``ProtocolError`` for a bad option."""
        self._path = Path(path)
        self._max_size = max_size(options)
        self._max_file = max_file(options)
        self._fd: int | None = None
        self._inode = 0
        self._size = 0
        self.dropped = 0
        self.error: str | None = None

    @property
    def position(self) -> Position:
        return Position(self._inode, self._size)

    @property
    def full(self) -> bool:
        return self._max_size is not None and self._size >= self._max_size

    def resume(self, marked: Position) -> None:
        """Open the log; what was appended after it was marked, by a router now dead, is undone."""
        try:
            self._open()
            if self._fd is not None and self._inode == marked.inode and self._size > marked.size:
                os.ftruncate(self._fd, marked.size)
                self._size = marked.size
        except OSError as error:
            self.error = str(error)

    def rotate(self) -> None:
        """Start a new file. When that is impossible the old one stays, and stays full."""
        try:
            for number in range(self._max_file - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._rotated(number - 1).rename(self._rotated(number))
            if self._max_file == 1:
                self._path.unlink(missing_ok=True)
            self.close()
            self._open()
        except OSError as error:
            self.error = str(error)

    def write(self, records: list[bytes], start: int) -> int:
        """Append the records from ``start`` that belong in this file; where the rest begins.

        Each of them is written whole or dropped.
        """
        if self.full:  # could not be rotated: growing without bounds is worse than losing lines
            self.dropped += len(records) - start
            return len(records)
        end = self._end_of_file(records, start)
        data = b"".join(records[start:end])
        written = 0
        self.error = None
        try:
            if self._fd is None:
                self._open()
            written = self._append(data)
        except OSError as error:
            self.error = str(error)
        self.dropped += data.count(b"\n", written)
        return end

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _end_of_file(self, records: list[bytes], start: int) -> int:
        if self._max_size is None:
            return len(records)
        end, room = start, self._max_size - self._size
        while end < len(records) and room > 0:
            room -= len(records[end])
            end += 1
        return end

    def _append(self, data: bytes) -> int:
        """How much of ``data`` is in the file now: all of it, or as many whole records as fit."""
        assert self._fd is not None
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError as error:
            self.error = str(error)
            written = data.rfind(b"\n", 0, written) + 1
            os.ftruncate(self._fd, self._size + written)
        self._size += written
        return written

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        status = os.fstat(self._fd)
        self._inode, self._size = status.st_ino, status.st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._size += os.write(self._fd, b"\n")  # a torn record ends here; readers skip it
