import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.logs.journal import COMPACT, MARK, NOWHERE, Journal, Position


class Pipe:
    """A pipe in the place of a FIFO."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK)

    def put(self, data: bytes) -> int:
        os.write(self.writer, data)
        return self.reader

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "c1")


def restarted(journal: Journal, prefix: str) -> Journal:
    journal.close()
    return Journal(prefix)


def test_what_was_taken_and_not_logged_is_there_after_a_crash(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    assert journal.take("stdout", pipe.put(b"one\n")) == b"one\n"
    journal.mark(Position(7, 100))
    journal = restarted(journal, prefix)
    assert journal.pending("stdout") == b"one\n"
    assert journal.pending("stderr") == b""
    assert journal.position == Position(7, 100)
    journal.close()


def test_bytes_taken_before_anything_was_marked_are_there_too(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    journal.mark(NOWHERE)
    journal.take("stderr", pipe.put(b"x"))
    journal = restarted(journal, prefix)
    assert journal.pending("stderr") == b"x"
    journal.close()


def test_only_what_is_left_of_a_settled_read_is_pending(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    journal.take("stdout", pipe.put(b"one\ntw"))
    journal.settle("stdout", 2, Position(7, 200))
    journal.take("stdout", pipe.put(b"o\n"))
    journal = restarted(journal, prefix)
    assert journal.pending("stdout") == b"two\n"
    assert journal.position == Position(7, 200)
    journal.close()


def test_a_spool_does_not_grow_with_what_went_through_it(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    for _ in range(100):
        journal.take("stdout", pipe.put(b"x" * 999 + b"\nab"))
        journal.settle("stdout", 2, NOWHERE)
    assert Path(f"{prefix}.stdout").stat().st_size < 3 * COMPACT
    journal = restarted(journal, prefix)
    assert journal.pending("stdout") == b"ab"
    journal.close()


def test_a_crash_between_marking_a_cut_and_cutting_is_repaired(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    journal.take("stdout", pipe.put(b"ababab"))
    journal.close()
    Path(f"{prefix}.mark").write_bytes(MARK.pack(7, 1, 0, 2, 0, -1))
    journal = Journal(prefix)
    assert journal.pending("stdout") == b"ab"
    assert Path(f"{prefix}.stdout").stat().st_size == 2
    journal.close()


def test_nothing_to_read_and_the_end_are_told_apart(prefix: str) -> None:
    journal = Journal(prefix)
    reader, writer = os.pipe2(os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        journal.take("stdout", reader)
    os.close(writer)
    assert journal.take("stdout", reader) == b""
    os.close(reader)
    journal.close()


def test_a_full_run_directory_does_not_stop_reading(prefix: str, pipe: Pipe) -> None:
    journal = Journal(prefix)
    journal.mark(Position(7, 1))
    journal.take("stdout", pipe.put(b"x" * 100))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert journal.take("stdout", pipe.put(b"begin\nlin")) == b"begin\nlin"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.settle("stdout", 3, Position(7, 2))
    assert journal.take("stdout", pipe.put(b"e\nab")) == b"e\nab"
    journal.settle("stdout", 2, Position(7, 3))
    journal = restarted(journal, prefix)
    assert journal.pending("stdout") == b"ab"
    journal.close()


def test_removing_leaves_nothing(prefix: str, tmp_path: Path) -> None:
    Journal(prefix).remove()
    assert list(tmp_path.iterdir()) == []
