"""Log records as entries of systemd's journal, with fields (its native protocol).

An entry is one datagram of fields; one that is too large for that goes into a sealed memfd whose
descriptor is sent instead. Whatever a record was given with ``extra`` under a name in capitals
becomes a field, for instance TASK_ARN (``agent.task.story`` has what is told of tasks), so that
``journalctl TASK_ARN=…`` is a task's whole story. Elsewhere such names are not shown.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "hostler"

PATIENCE_S = 0.2
"""For the journal to take an entry: it rotates its files now and then. Who logs waits meanwhile."""

_BUFFER = 8 * 2**20
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NAME = re.compile("[A-Z][A-Z0-9_]{0,63}")
_LENGTH = struct.Struct("<Q")

_PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
"""Of syslog(3), by level."""


def is_stderr(environ: Mapping[str, str]) -> bool:
    """Whether standard error is the journal's: systemd.exec(5), JOURNAL_STREAM."""
    status = os.fstat(2)
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Writes to the journal at ``path``.

    While nothing reads there, entries go to standard error as plain lines. While it is stuck they
    are dropped, and the first that gets through tells how many.
    """

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            entry = encoded(_fields(record, self.format(record), self._dropped))
        except Exception:  # noqa: BLE001 - as logging's own: no line ends whoever says it
            self.handleError(record)
            return
        # Only the first has to wait: many that did would hold up all work.
        self._socket.settimeout(0 if self._dropped else PATIENCE_S)
        try:
            self._send(entry)
        except (TimeoutError, BlockingIOError):
            self._dropped += 1
        except OSError:
            sys.stderr.write(f"{record.name}: {self.format(record)}\n")
        else:
            self._dropped = 0

    def close(self) -> None:
        self._socket.close()
        super().close()

    def _send(self, entry: bytes) -> None:
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._pass_on(entry)

    def _pass_on(self, entry: bytes) -> None:
        passed = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(passed, "wb", closefd=False) as file:
                file.write(entry)
            fcntl.fcntl(passed, fcntl.F_ADD_SEALS, _SEALS)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", passed))]
            self._socket.sendmsg([], ancillary, 0, self._path)
        finally:
            os.close(passed)


def encoded(fields: Mapping[str, str]) -> bytes:
    """An entry with these fields: a line each, or name, length and text where it has lines."""
    return b"".join(_field(name, text.encode(errors="replace")) for name, text in fields.items())


def _field(name: str, text: bytes) -> bytes:
    if b"\n" in text:
        return name.encode() + b"\n" + _LENGTH.pack(len(text)) + text + b"\n"
    return name.encode() + b"=" + text + b"\n"


def _fields(record: logging.LogRecord, message: str, dropped: int) -> dict[str, str]:
    lost = {"LINES_LOST": str(dropped)} if dropped else {}
    return {
        "MESSAGE": f"{message} ({dropped} lines before this one are lost)" if dropped else message,
        "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        **lost,
        **dict(_extra(record)),
    }


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    for name, value in vars(record).items():
        if value not in (None, "") and _NAME.fullmatch(name):
            yield name, str(value)
