"""One container's output on its way to the log: FIFOs, journal and driver joined. For ``router``.

A line that a restart of the router cuts in two comes out whole: its beginning is in the journal.
Its time is that of the restart.
"""

import os
from enum import Enum
from pathlib import Path

from agent.logs.fifo import make_fifo, open_fifo
from agent.logs.journal import TURN, Journal
from agent.logs.jsonfile import JsonFile, encoded
from agent.logs.lines import Lines
from agent.logs.protocol import JSON_FILE, Stream


class Turn(Enum):
    """What one read of a FIFO gave."""

    DATA = "data"
    QUIET = "nothing now"
    END = "every writer has closed"


class Lane:
    """One of the container's two outputs. ``fd`` is None when its FIFO is gone."""

    __slots__ = ("ended", "fd", "lines", "name", "path")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.fd: int | None = None
        self.lines = Lines()
        self.ended = False

    def reopen(self) -> None:
        """A new reader before the old one goes, so that a writer never finds none."""
        old = self.fd
        try:
            self.fd = open_fifo(self.path)
        except FileNotFoundError:
            self.fd, self.ended = None, True
        if old is not None:
            os.close(old)


class LogStream:
    """The output of one container, until it is closed."""

    __slots__ = ("_journal", "_sink", "lanes", "spec")

    def __init__(self, spec: Stream, journal_prefix: str) -> None:
        """Resumes what a router before this one left. Raises ``ProtocolError``, ``OSError``."""
        self.spec = spec
        self.lanes = [Lane(name, path) for name, path in spec.fifos().items()]
        self._sink: JsonFile | None = None
        self._journal: Journal | None = None
        if spec.driver == JSON_FILE:
            self._sink = JsonFile(spec.log_path, spec.options)
            self._journal = Journal(journal_prefix)
            self._resume(self._sink, self._journal)

    @property
    def ended(self) -> bool:
        return all(lane.ended for lane in self.lanes)

    @property
    def state(self) -> dict[str, object]:
        """For ``list``: what it is, how many lines were lost, and why lines are being lost."""
        return {
            "id": self.spec.id,
            "driver": self.spec.driver,
            "ended": self.ended,
            "dropped": self._sink.dropped if self._sink else 0,
            "error": self._sink.error if self._sink else None,
        }

    def make_fifos(self) -> None:
        for lane in self.lanes:
            make_fifo(lane.path)

    def attach(self) -> list[Lane]:
        """Every FIFO that exists has a reader; which were opened. ``NotAFifo``, ``OSError``."""
        new = [lane for lane in self.lanes if lane.fd is None]
        for lane in new:
            lane.ended = False
            lane.reopen()
        return new

    def pump(self, lane: Lane) -> Turn:
        """Carry what the FIFO holds, at most a pipe full, to the log."""
        try:
            data = self._take(lane)
        except BlockingIOError:
            return Turn.QUIET
        lane.ended = not data
        self._log(lane, lane.lines.feed(data) if data else lane.lines.finish())
        return Turn.DATA if data else Turn.END

    def detach(self) -> None:
        """Let go of everything and leave it where it is, for the next router."""
        for lane in self.lanes:
            if lane.fd is not None:
                os.close(lane.fd)
                lane.fd = None
        if self._journal:
            self._journal.close()
        if self._sink:
            self._sink.close()

    def remove(self) -> None:
        """Let go of everything and remove all but the log."""
        fifos = [lane.path for lane in self.lanes if lane.fd is not None]
        journal, self._journal = self._journal, None
        self.detach()
        if journal:
            journal.remove()
        for path in fifos:
            Path(path).unlink(missing_ok=True)

    def _resume(self, sink: JsonFile, journal: Journal) -> None:
        sink.resume(journal.position)
        journal.mark(sink.position)
        for lane in self.lanes:
            self._log(lane, lane.lines.feed(journal.pending(lane.name)))

    def _take(self, lane: Lane) -> bytes:
        if lane.fd is None:
            return b""
        if self._journal is None:
            return os.read(lane.fd, TURN)
        return self._journal.take(lane.name, lane.fd)

    def _log(self, lane: Lane, pieces: list[bytes]) -> None:
        if self._sink is None or self._journal is None:
            lane.lines.tail = b""
            return
        records = encoded(lane.name, pieces)
        left = sum(map(len, pieces)) + len(lane.lines.tail)
        start = 0
        while start < len(records):
            if self._sink.full:
                self._sink.rotate()
                self._journal.mark(self._sink.position)
            end = self._sink.write(records, start)
            left -= sum(map(len, pieces[start:end]))
            self._journal.settle(lane.name, left, self._sink.position)
            start = end
