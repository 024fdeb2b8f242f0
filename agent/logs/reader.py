"""Reading a json-file log back, across its rotated files. For ``hostler logs``.

Pure but for reading files; nothing here waits. Whoever follows a log calls ``read`` again with the
cursor of the last answer. The files are opened newest first: a rotation in the middle of that shows
one file twice (which is noticed), the other way round it would hide one.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

BLOCK = 64 * 1024
BATCH_BYTES = 4 * 1024 * 1024
"""How much of the log one call reads at most, when it reads forwards."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line, or a piece of a very long one: then ``text`` does not end with a newline.

    ``time`` is RFC 3339 in UTC, as it stands in the log.
    """

    time: str
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a log that stays right when the log is rotated."""

    inode: int
    offset: int


def read(
    path: Path,
    *,
    since: float | None = None,
    tail: int | None = None,
    cursor: Cursor | None = None,
) -> tuple[list[LogEntry], Cursor | None]:
    """The entries after ``cursor``, or of the whole log without one, and where to go on.

    ``since`` (seconds since the epoch) leaves out what is older; ``tail`` gives only the last so
    many, read from the end of the log, and is ignored with a cursor. Without ``tail`` an answer is
    a bounded part: the log has been read to its end when the cursor that comes back is the one
    that was given. Lines that are no entries are skipped, a line still being written is left for
    the next call. No log at all gives nothing and a cursor of None. If the cursor's file is gone,
    reading goes on with the oldest one left.
    """
    earliest = _rfc3339(since) if since is not None else ""
    with ExitStack() as stack:
        files = _open_all(path, stack)
        if not files:
            return [], None
        if tail is not None and cursor is None:
            return _last(files, tail, earliest)
        return _after(files, cursor, earliest)


def _after(
    files: list[BinaryIO], cursor: Cursor | None, earliest: str
) -> tuple[list[LogEntry], Cursor | None]:
    inodes = [_inode(file) for file in files]
    first = inodes.index(cursor.inode) if cursor and cursor.inode in inodes else 0
    entries: list[LogEntry] = []
    for file, inode in zip(files[first:], inodes[first:], strict=True):
        offset = cursor.offset if cursor and cursor.inode == inode else 0
        if offset > os.fstat(file.fileno()).st_size:  # another file, with the number of an old one
            offset = 0
        file.seek(offset)
        data = file.read(BATCH_BYTES)
        data = data[: data.rfind(b"\n") + 1]
        entries += [
            entry for entry in map(_entry, data.split(b"\n")) if entry and entry.time >= earliest
        ]
        cursor = Cursor(inode, offset + len(data))
        if data:
            break
    return entries, cursor


def _last(files: list[BinaryIO], tail: int, earliest: str) -> tuple[list[LogEntry], Cursor | None]:
    ends = [_end_of_lines(file) for file in files]
    entries: list[LogEntry] = []
    for line in _backwards(files, ends):
        entry = _entry(line)
        if len(entries) >= tail or (entry is not None and entry.time < earliest):
            break
        if entry is not None:
            entries.append(entry)
    return entries[::-1], Cursor(_inode(files[-1]), ends[-1])


def _backwards(files: list[BinaryIO], ends: list[int]) -> Iterator[bytes]:
    """The lines of all files, last first. ``ends`` are where each file's last line ends."""
    for file, end in zip(reversed(files), reversed(ends), strict=True):
        rest = b""
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            first, *lines = (file.read(end - start) + rest).split(b"\n")
            yield from reversed(lines)
            rest, end = first, start
        yield rest


def _end_of_lines(file: BinaryIO) -> int:
    end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _open_all(path: Path, stack: ExitStack) -> list[BinaryIO]:
    """The log's files, oldest first, each once."""
    rotated = re.compile(re.escape(path.name) + r"\.(\d+)")
    names = path.parent.iterdir() if path.parent.is_dir() else ()
    numbers = sorted(int(match[1]) for name in names if (match := rotated.fullmatch(name.name)))
    opened: dict[int, BinaryIO] = {}
    for name in [path, *(path.with_name(f"{path.name}.{number}") for number in numbers)]:
        try:
            file = stack.enter_context(name.open("rb"))
        except FileNotFoundError:
            continue
        opened.setdefault(_inode(file), file)
    return list(opened.values())[::-1]


def _entry(line: bytes) -> LogEntry | None:
    try:
        record = json.loads(line)
        fields = (record["time"], record["stream"], record["log"])
    except (ValueError, TypeError, KeyError):
        return None
    if not all(isinstance(field, str) for field in fields):
        return None
    return LogEntry(*fields)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6]


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino
