"""Columns, ages and colours."""

import io
import sys

import pytest

from agent.cli.output import age, coloured, print_columns


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0s"), (0.4, "0s"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (86400 * 3, "3d")],
)
def test_an_age_is_in_its_largest_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_columns_are_as_wide_as_needed(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns([("A", "B"), ("long", "")])
    assert capsys.readouterr().out == "A     B\nlong\n"


def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured("web", 0) == "web"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert coloured("web", 0) == "\x1b[36mweb\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("web", 0) == "web"
