"""Pulls on the screen."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from agent.cli.pulls import Bars, Lines, drawing, totals
from agent.cli.screen import JsonLines, Text
from tests.fakes.api import Body
from tests.unit.cli.worlds import step, task

IMAGE = "registry.test/shop/web:1"


def layer(number: int, state: str, done: int = 0, size: int = 1_000_000) -> Body:
    return {"digest": f"sha256:{number}{'0' * 63}", "size": size, "done": done, "state": state}


def pull(*layers: Body, image: str = IMAGE) -> Body:
    return {"image": image, "layers": list(layers)}


BEGUN = pull(layer(1, "downloading", 250_000), layer(2, "waiting"), layer(3, "already here"))
HALF = pull(layer(1, "done", 1_000_000), layer(2, "unpacking", 1_000_000), layer(3, "already here"))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_here_counts_as_done() -> None:
    assert totals(BEGUN) == "1 of 3 layers, 1.25 MB of 3 MB"
    assert totals(HALF) == "2 of 3 layers, 3 MB of 3 MB"


def test_lines_tell_each_layer_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(2, Clock())
    for each in (pull(), BEGUN, BEGUN, HALF, HALF):
        lines.show([each])
    lines.show([])
    lines.close()
    assert capsys.readouterr().out.splitlines() == [
        "  layer 100000000000 1 MB",
        "  layer 200000000000 1 MB",
    ]
    assert lines.told("100000000000")
    assert not lines.told("300000000000"), "it was here"


def test_totals_come_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(0, clock)
    for clock.now in (0.0, 0.4, 0.9, 1.1, 1.5, 2.0, 2.2):
        lines.show([BEGUN])
    assert capsys.readouterr().out.splitlines() == [f"{IMAGE}: 1 of 3 layers, 1.25 MB of 3 MB"] * 2


def test_a_step_of_the_timeline_is_not_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Text(["web"])
    digest = "100000000000"
    screen.pulls([pull(layer(1, "done", 1_000_000))])
    screen.step(step(5, "layer", "web", f"{digest} 1 MB"))
    screen.step(step(6, "layer", "web", "abcdefabcdef 1 MB"))
    screen.close()
    said = capsys.readouterr().out
    assert said.count(digest) == 1
    assert said.count("abcdefabcdef") == 1


def test_json_lines_come_once_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.screen.time", SimpleNamespace(monotonic=Clock()))
    screen = JsonLines()
    screen.begin(task())
    for _ in range(3):
        screen.pulls([BEGUN])
    screen.pulls([])
    screen.close()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[1:] == [{"pulls": [BEGUN]}]


END = b"\x1e"
"""Nothing that bars are made of."""
ERASED = "\x1b[2K"
"""What erases a line (ECMA-48, EL)."""


class Terminal:
    """Standard output on a terminal; ``read`` has what came out of its other end."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.file = os.fdopen(theirs, "w", buffering=1)

    def read(self) -> str:
        """All that was written since; the kernel hands it over when it likes."""
        sys.stdout.flush()
        os.write(self.file.fileno(), END)
        seen = b""
        while not seen.endswith(END):
            seen += os.read(self._ours, 1 << 16)
        return seen.removesuffix(END).decode()

    def close(self) -> None:
        self.file.close()
        os.close(self._ours)


@contextmanager
def terminal(kind: str = "xterm") -> Iterator[Terminal]:
    made = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", kind)
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "stdout", made.file)
        yield made
    made.close()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_on_a_terminal_there_is_a_bar_for_all_and_for_each_layer_under_way() -> None:
    with terminal() as screen:
        bars = drawing()
        assert isinstance(bars, Bars)
        bars.show([BEGUN])
        seen = plain(screen.read())
        assert IMAGE in seen
        assert "1.2/3.0 MB" in seen
        assert "downloading" in seen
        assert "waiting" not in seen
        bars.show([HALF])
        seen = plain(screen.read())
        assert "unpacking" in seen
        assert "downloading" not in seen
        sys.stdout.write("a line\n")
        assert "a line" in plain(screen.read())
        bars.show([])
        assert ERASED in screen.read()
        assert not bars.told("100000000000")
        bars.close()


def test_before_the_manifest_has_come_the_size_is_open() -> None:
    with terminal() as screen:
        bars = Bars()
        bars.show([pull()])
        assert IMAGE in plain(screen.read())
        bars.close()


def test_a_dumb_terminal_gets_lines() -> None:
    with terminal("dumb"):
        assert isinstance(drawing(), Lines)
