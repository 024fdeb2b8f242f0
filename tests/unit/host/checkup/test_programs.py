"""Programs that are run: to their end, too talkative, too slow, or not there."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from agent.host.checkup.programs import NotRun, Ran, run


def test_a_program_that_ends() -> None:
    assert run("sh", "-c", "echo out; echo err >&2; exit 3") == Ran(3, "out\n", "err\n")


def test_a_program_that_says_too_much_is_ended() -> None:
    ran = run("sh", "-c", "while :; do echo yyyyyyyyyyyyyyyy; done", most=100_000)
    assert (len(ran.out), ran.cut, ran.code) == (100_000, True, 0)


def test_a_program_that_hangs_is_ended() -> None:
    before, others = time.monotonic(), psutil.Process().children()
    with pytest.raises(NotRun, match=r"sleep did not come to an end within 0\.3 s"):
        run("sleep", "600", deadline_s=0.3)
    assert time.monotonic() - before < 60
    assert not {*psutil.Process().children()} - {*others}


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(NotRun, match="there is no program no-such-program"):
        run("no-such-program")


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="can't be run"):
        run(str(tmp_path))


def test_words_in_no_encoding() -> None:
    assert run("printf", r"a\377b").out == "a�b"
