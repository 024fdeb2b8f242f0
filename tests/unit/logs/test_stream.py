import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.logs.protocol import ProtocolError, Stream
from agent.logs.stream import Lane, LogStream, Turn


class Bench:
    """A stream in a folder of its own, with a writer for its stdout."""

    def __init__(self, folder: Path, driver: str = "json-file") -> None:
        self.log = folder / "c1.log"
        self.out = folder / "c1-out"
        self.spec = Stream("c1", str(self.log), str(self.out), None, driver)
        self.prefix = str(folder / "c1")
        self.stream = LogStream(self.spec, self.prefix)
        self.stream.make_fifos()
        self.stream.attach()
        self.writer = self.new_writer()

    @property
    def lane(self) -> Lane:
        return self.stream.lanes[0]

    def new_writer(self) -> int:
        return os.open(self.out, os.O_WRONLY | os.O_NONBLOCK)

    def put(self, data: bytes) -> None:
        os.write(self.writer, data)

    def restart(self) -> None:
        self.stream.detach()
        self.stream = LogStream(self.spec, self.prefix)
        self.stream.attach()

    def logged(self) -> list[str]:
        return [json.loads(line)["log"] for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        os.close(self.writer)
        self.stream.remove()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_lines_go_to_the_log(bench: Bench) -> None:
    bench.put(b"one\ntwo\nthr")
    assert bench.stream.pump(bench.lane) is Turn.DATA
    assert bench.stream.pump(bench.lane) is Turn.QUIET
    assert bench.logged() == ["one\n", "two\n"]


def test_a_partial_line_is_written_at_the_end(bench: Bench) -> None:
    bench.put(b"one\ntw")
    bench.stream.pump(bench.lane)
    os.close(bench.writer)
    before = bench.stream.ended
    assert bench.stream.pump(bench.lane) is Turn.END
    assert (before, bench.stream.ended) == (False, True)
    assert bench.logged() == ["one\n", "tw"]
    bench.lane.reopen()
    bench.writer = bench.new_writer()


def test_a_container_that_starts_again_is_heard_again(bench: Bench) -> None:
    os.close(bench.writer)
    bench.stream.pump(bench.lane)
    bench.lane.reopen()
    bench.writer = bench.new_writer()
    bench.put(b"again\n")
    assert bench.stream.pump(bench.lane) is Turn.DATA
    assert not bench.stream.ended
    assert bench.logged() == ["again\n"]


def test_a_line_cut_in_two_by_a_restart_comes_out_whole(bench: Bench) -> None:
    bench.put(b"one\ntw")
    bench.stream.pump(bench.lane)
    bench.restart()
    bench.put(b"o\n")
    bench.stream.pump(bench.lane)
    assert bench.logged() == ["one\n", "two\n"]


def test_what_was_appended_and_not_marked_is_written_once(bench: Bench, tmp_path: Path) -> None:
    bench.put(b"one\n")
    bench.stream.pump(bench.lane)
    marked = (tmp_path / "c1.mark").read_bytes()
    bench.put(b"two\nthree\n")
    bench.stream.pump(bench.lane)
    (tmp_path / "c1.mark").write_bytes(marked)  # as if killed before it was written
    bench.restart()
    assert bench.logged() == ["one\n", "two\n", "three\n"]


def test_the_driver_none_reads_and_forgets(tmp_path: Path) -> None:
    bench = Bench(tmp_path, driver="none")
    bench.put(b"x" * 1000)
    assert bench.stream.pump(bench.lane) is Turn.DATA
    assert bench.lane.lines.tail == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c1-out"]
    bench.close()


def test_a_fifo_that_is_gone_has_ended(bench: Bench) -> None:
    bench.out.unlink()
    bench.restart()
    assert bench.lane.fd is None
    assert bench.stream.ended


def test_removing_leaves_the_log_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.close()
    assert [path.name for path in tmp_path.iterdir()] == ["c1.log"]


def test_a_bad_option_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    spec = Stream("c1", str(tmp_path / "log"), options={"max-size": "x"})
    with pytest.raises(ProtocolError):
        LogStream(spec, str(tmp_path / "c1"))
    assert list(tmp_path.iterdir()) == []
