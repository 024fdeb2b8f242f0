"""Log records as journald takes them: fields in a datagram, or in a memfd if it is large."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.service import journal
from agent.service.journal import JournalHandler, encoded
from agent.task.story import about
from tests.worlds import container, task


class Journal:
    """What comes to the journal's socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(5)

    def entry(self) -> dict[str, str]:
        """The next one."""
        data, passed, _, _ = socket.recv_fds(self.socket, 1_000_000, 1)
        if passed:
            assert data == b""
            with os.fdopen(passed[0], "rb") as file:
                file.seek(0)
                data = file.read()
                with pytest.raises(PermissionError):
                    os.pwrite(passed[0], b"x", 0)
        return decoded(data)


def decoded(data: bytes) -> dict[str, str]:
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, text = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", data[:8])
            text, data = data[8 : 8 + length], data[8 + length + 1 :]
        fields[name.decode()] = text.decode()
    return fields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def there(path: Path) -> Iterator[Journal]:
    made = Journal(path)
    yield made
    made.socket.close()


@pytest.fixture
def log(path: Path) -> Iterator[logging.Logger]:
    logger, handler = logging.Logger("agent.test"), JournalHandler(path)
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_an_entry_has_message_priority_and_where_it_comes_from(
    there: Journal, log: logging.Logger
) -> None:
    log.warning("%d things", 3)
    line = sys._getframe().f_lineno - 1
    assert there.entry() == {
        "MESSAGE": "3 things",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "hostler",
        "LOGGER": "agent.test",
        "CODE_FILE": __file__,
        "CODE_LINE": str(line),
        "CODE_FUNC": "test_an_entry_has_message_priority_and_where_it_comes_from",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, "2"),
        (logging.ERROR, "3"),
        (logging.INFO, "6"),
        (logging.DEBUG, "7"),
        (logging.INFO + 1, "6"),
    ],
)
def test_levels_are_priorities_of_syslog(
    there: Journal, log: logging.Logger, level: int, priority: str
) -> None:
    log.log(level, "said")
    assert there.entry()["PRIORITY"] == priority


def test_what_is_about_a_container_can_be_found_by_it(there: Journal, log: logging.Logger) -> None:
    of = task(container("web"))
    log.info("started", extra=about(of, "web", STEP="started") | {"lower": "no field"})
    entry = there.entry()
    assert {name: entry[name] for name in about(of)} == {
        "TASK_ARN": of.arn,
        "TASK_ID": of.id,
        "TASK_FAMILY": of.definition.family,
        "TASK_REVISION": "1",
        "CONTAINER_NAME": "web",
    }
    assert entry["STEP"] == "started"
    assert "lower" not in entry


def test_what_is_about_the_whole_task_names_no_container(
    there: Journal, log: logging.Logger
) -> None:
    log.info("stopped", extra=about(task(container("web"))))
    assert "CONTAINER_NAME" not in there.entry()


def test_a_failure_is_one_entry_with_its_lines(there: Journal, log: logging.Logger) -> None:
    try:
        raise ValueError("unlikely")  # noqa: TRY301 - it is what is logged
    except ValueError:
        log.exception("it failed")
    message = there.entry()["MESSAGE"]
    assert message.startswith("it failed\nTraceback")
    assert message.endswith("ValueError: unlikely")


def test_no_text_can_make_a_field() -> None:
    assert decoded(encoded({"MESSAGE": "one\nPRIORITY=0", "PRIORITY": "6"})) == {
        "MESSAGE": "one\nPRIORITY=0",
        "PRIORITY": "6",
    }


def test_what_is_no_text_in_utf_8_arrives(there: Journal, log: logging.Logger) -> None:
    log.info("a\udcffb")
    assert there.entry()["MESSAGE"] == "a?b"


def test_a_large_entry_comes_in_a_sealed_file(there: Journal, log: logging.Logger) -> None:
    text = "x" * 20_000_000
    log.info(text)
    assert there.entry()["MESSAGE"] == text


def test_while_there_is_no_journal_lines_go_to_standard_error(
    log: logging.Logger, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("nobody there")
    assert capsys.readouterr().err == "agent.test: nobody there\n"
    there = Journal(path)
    log.info("here again")
    assert there.entry()["MESSAGE"] == "here again"
    there.socket.close()
    log.info("gone")
    assert capsys.readouterr().err == "agent.test: gone\n"


def test_a_journal_that_is_stuck_holds_nobody_up_and_is_told_what_it_missed(
    there: Journal, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PATIENCE_S", 0.01)
    handler = log.handlers[0]
    assert isinstance(handler, JournalHandler)
    fitted = 0
    while handler._dropped < 3:
        log.info("line")
        fitted += 1
    for _ in range(fitted - 3):
        assert there.entry()["MESSAGE"] == "line"
    log.info("through")
    assert there.entry()["MESSAGE"] == "through (3 lines before this one are lost)"
    log.info("again")
    assert there.entry()["MESSAGE"] == "again"


def test_standard_error_is_the_journals_if_systemd_says_so_of_it() -> None:
    status = os.fstat(2)
    assert journal.is_stderr({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not journal.is_stderr({"JOURNAL_STREAM": "1:1"})
    assert not journal.is_stderr({})


def test_a_line_that_makes_no_sense_ends_nobody_and_is_told(
    there: Journal, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.warning("%d things", "three")
    assert "'%d things'" in capsys.readouterr().err
    log.warning("after it")
    assert there.entry()["MESSAGE"] == "after it"
