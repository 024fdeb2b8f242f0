import json
from pathlib import Path

import pytest

from agent.logs.journal import NOWHERE, Position
from agent.logs.jsonfile import JsonFile, encoded, max_file, max_size, timestamp
from agent.logs.protocol import ProtocolError


def log(path: Path, **options: str) -> JsonFile:
    sink = JsonFile(str(path), {key.replace("_", "-"): value for key, value in options.items()})
    sink.resume(NOWHERE)
    return sink


def write(sink: JsonFile, *pieces: bytes) -> None:
    records, start = encoded("stdout", list(pieces)), 0
    while start < len(records):
        if sink.full:
            sink.rotate()
        start = sink.write(records, start)


def texts(path: Path) -> list[str]:
    return [json.loads(line)["log"] for line in path.read_text().splitlines()]


def test_a_record_is_dockers() -> None:
    (record,) = encoded("stderr", ['a "b"\\ é\t\n'.encode()])
    fields = json.loads(record)
    assert list(fields) == ["log", "stream", "time"]
    assert fields["log"] == 'a "b"\\ é\t\n'
    assert fields["stream"] == "stderr"
    assert record.endswith(b"}\n")
    assert record.count(b"\n") == 1


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert json.loads(encoded("stdout", [b"a\xffb\n"])[0])["log"] == "a\ufffdb\n"


def test_times_are_utc_with_nine_digits() -> None:
    assert timestamp(1_700_000_000_000_000_005) == "2023-11-14T22:13:20.000000005Z"


@pytest.mark.parametrize(
    ("value", "size"),
    [("10m", 10_000_000), ("1.5K", 1500), ("2gb", 2_000_000_000), ("512", 512), ("-1", None)],
)
def test_sizes_are_read_as_docker_reads_them(value: str, size: int | None) -> None:
    assert max_size({"max-size": value}) == size


@pytest.mark.parametrize("value", ["", "0", "m", "-2", "1x", "10 mm"])
def test_a_bad_max_size_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError, match="max-size"):
        max_size({"max-size": value})


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "1.5"])
def test_a_bad_max_file_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError, match="max-file"):
        max_file({"max-file": value})


def test_rotation_is_on_by_default() -> None:
    assert max_size({}) == 10_000_000
    assert max_file({}) == 5


def test_files_rotate_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    sink = log(path, max_size="1", max_file="3")
    write(sink, *(b"%d\n" % number for number in range(5)))
    assert texts(path) == ["4\n"]
    assert texts(tmp_path / "c1.log.1") == ["3\n"]
    assert texts(tmp_path / "c1.log.2") == ["2\n"]
    assert len(list(tmp_path.iterdir())) == 3
    sink.close()


def test_one_file_is_started_over(tmp_path: Path) -> None:
    sink = log(tmp_path / "c1.log", max_size="1", max_file="1")
    write(sink, b"1\n", b"2\n")
    assert texts(tmp_path / "c1.log") == ["2\n"]
    assert len(list(tmp_path.iterdir())) == 1
    sink.close()


def test_a_batch_goes_on_in_the_next_file(tmp_path: Path) -> None:
    sink = log(tmp_path / "c1.log", max_size="200", max_file="9")
    write(sink, *(b"%d\n" % number for number in range(6)))
    assert texts(tmp_path / "c1.log.1") == ["0\n", "1\n", "2\n"]
    assert texts(tmp_path / "c1.log") == ["3\n", "4\n", "5\n"]
    sink.close()


def test_an_append_that_was_not_marked_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    sink = log(path)
    write(sink, b"1\n")
    marked = sink.position
    write(sink, b"2\n")
    sink.close()
    again = JsonFile(str(path), {})
    again.resume(marked)
    assert again.position == marked
    assert texts(path) == ["1\n"]
    again.close()


def test_another_file_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    sink = log(path)
    write(sink, b"1\n")
    sink.close()
    again = JsonFile(str(path), {})
    again.resume(Position(path.stat().st_ino + 1, 0))
    assert texts(path) == ["1\n"]
    again.close()


def test_a_torn_record_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    path.write_text('{"log":"to')
    sink = log(path)
    write(sink, b"1\n")
    assert json.loads(path.read_text().splitlines()[1])["log"] == "1\n"
    sink.close()


def test_lines_that_cannot_be_written_are_counted_and_writing_resumes(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    path.symlink_to("/dev/null")
    sink = log(path)
    write(sink, b"1\n", b"2\n")
    assert sink.dropped == 2
    assert sink.error is not None
    assert str(path) in sink.error
    path.unlink()
    write(sink, b"3\n")
    assert texts(path) == ["3\n"]
    assert sink.dropped == 2
    sink.close()


def test_an_error_that_is_over_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    path.mkdir()
    sink = log(path)
    path.rmdir()
    write(sink, b"1\n")
    assert sink.error is None
    sink.close()


def test_a_log_that_cannot_be_rotated_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "c1.log"
    sink = log(path, max_size="1", max_file="2")
    write(sink, b"1\n")
    (tmp_path / "c1.log.1").mkdir()
    write(sink, b"2\n", b"3\n")
    assert (texts(path), sink.dropped) == (["1\n"], 2)
    (tmp_path / "c1.log.1").rmdir()
    write(sink, b"4\n")
    assert (texts(path), sink.dropped) == (["4\n"], 2)
    sink.close()


def test_the_log_is_private(tmp_path: Path) -> None:
    sink = log(tmp_path / "logs" / "c1.log")
    assert (tmp_path / "logs" / "c1.log").stat().st_mode & 0o777 == 0o600
    sink.close()
