import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logs import reader
from agent.logs.jsonfile import timestamp
from agent.logs.reader import Cursor, LogEntry, read


def record(number: int) -> str:
    fields = {"log": f"{number}\n", "stream": "stdout", "time": timestamp(number * 10**9)}
    return json.dumps(fields) + "\n"


def records(*numbers: int) -> str:
    return "".join(map(record, numbers))


def numbers(entries: list[LogEntry]) -> list[int]:
    return [int(entry.text) for entry in entries]


def whole(path: Path) -> list[int]:
    """Everything, by reading until the cursor stays."""
    got: list[int] = []
    cursor: Cursor | None = None
    while True:
        entries, after = read(path, cursor=cursor)
        got += numbers(entries)
        if after == cursor:
            return got
        cursor = after


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.2").write_text(records(1, 2))
    (tmp_path / "log.1").write_text(records(3, 4))
    (tmp_path / "log").write_text(records(5, 6))
    (tmp_path / "log.txt").write_text(records(99))
    return tmp_path / "log"


def test_a_log_is_read_over_all_its_files(log: Path) -> None:
    assert whole(log) == [1, 2, 3, 4, 5, 6]


def test_more_than_ten_files_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"log.{number}").write_text(records(100 - number))
    assert whole(tmp_path / "log") == list(range(89, 100))


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "log") == ([], None)
    assert read(tmp_path / "no folder" / "log", tail=1) == ([], None)


def test_an_entry_is_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(records(7))
    entries, _ = read(tmp_path / "log")
    assert entries == [LogEntry("1970-01-01T00:00:07.000000000Z", "stdout", "7\n")]


def test_what_is_appended_comes_after_the_cursor(log: Path) -> None:
    _, cursor = read(log, tail=0)
    with log.open("a") as file:
        file.write(records(7))
    entries, cursor = read(log, cursor=cursor)
    assert numbers(entries) == [7]
    assert read(log, cursor=cursor) == ([], cursor)


def test_a_line_being_written_waits_for_its_end(log: Path) -> None:
    _, cursor = read(log, tail=0)
    with log.open("a") as file:
        file.write(record(7)[:10])
    assert read(log, cursor=cursor) == ([], cursor)
    assert numbers(read(log, tail=1)[0]) == [6]
    with log.open("a") as file:
        file.write(record(7)[10:])
    assert numbers(read(log, cursor=cursor)[0]) == [7]


def test_the_cursor_survives_rotation(log: Path) -> None:
    _, cursor = read(log, tail=0)
    with log.open("a") as file:
        file.write(records(7))
    log.rename(log.with_name("log.0"))
    (log.with_name("log.1")).rename(log.with_name("log.3"))
    log.with_name("log.0").rename(log.with_name("log.1"))
    log.write_text(records(8))
    entries, cursor = read(log, cursor=cursor)
    more, _ = read(log, cursor=cursor)
    assert numbers(entries + more) == [7, 8]


def test_a_cursor_whose_file_is_gone_goes_on_with_the_oldest(log: Path) -> None:
    cursor = Cursor(2**60, 5)
    assert numbers(read(log, cursor=cursor)[0]) == [1, 2]


def test_a_cursor_behind_the_end_starts_the_file_over(log: Path) -> None:
    cursor = Cursor(log.stat().st_ino, 10_000)
    assert numbers(read(log, cursor=cursor)[0]) == [5, 6]


def test_lines_that_are_no_entries_are_skipped(tmp_path: Path) -> None:
    bad = '\n{"log":\n[]\n{"log":1,"stream":"stdout","time":"x"}\n\xff\n'
    (tmp_path / "log").write_text(record(1) + bad + record(2))
    assert numbers(read(tmp_path / "log")[0]) == [1, 2]
    assert numbers(read(tmp_path / "log", tail=5)[0]) == [1, 2]


@pytest.mark.parametrize("tail", [0, 1, 3, 6, 100])
def test_tail_gives_the_last_entries_over_files(log: Path, tail: int) -> None:
    entries, cursor = read(log, tail=tail)
    assert numbers(entries) == [1, 2, 3, 4, 5, 6][6 - min(tail, 6) :]
    assert cursor == Cursor(log.stat().st_ino, log.stat().st_size)


def test_since_leaves_out_what_is_older(log: Path) -> None:
    assert numbers(read(log.with_name("log.1"), since=3.5)[0]) == [4]
    assert numbers(read(log, since=3.5, tail=100)[0]) == [4, 5, 6]
    assert numbers(read(log, since=5, tail=100)[0]) == [5, 6]


def test_a_long_log_is_read_in_bounded_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_BYTES", 1000)
    (tmp_path / "log").write_text(records(*range(100)))
    assert len(read(tmp_path / "log")[0]) < 15
    assert whole(tmp_path / "log") == list(range(100))


@given(st.lists(st.integers(0, 300_000), max_size=6), st.integers(0, 8))
def test_reading_backwards_finds_what_reading_forwards_finds(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], tail: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    lines = [
        json.dumps({"log": "x" * length, "stream": str(number), "time": "t"}) + "\n"
        for number, length in enumerate(lengths)
    ]
    path.write_text("".join(lines))
    entries, _ = read(path)
    assert len(entries) == len(lengths)
    assert read(path, tail=tail)[0] == entries[len(entries) - min(tail, len(entries)) :]
