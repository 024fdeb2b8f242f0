"""What ``hostler run`` prints."""

import json

import pytest

from agent.cli.screen import JsonLines, Screen, Text
from tests.unit.cli.worlds import ID, container, entry, step, task

TASK = task(
    container("web"),
    container("db", reason="CannotPullContainerError: no such image"),
    stopCode="TaskFailedToStart",
    stoppedReason="CannotPullContainerError: no such image",
)


def tell(screen: Screen) -> None:
    screen.begin(TASK)
    screen.step(step(0, "accepted"))
    screen.step(step(12.4, "network", "web", "10.0.0.2", took_s=0.0031))
    screen.log("db", entry(13, "a line\n"))
    screen.end(TASK)


def test_text_has_milliseconds_containers_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Text(["web", "db"]))
    assert capsys.readouterr().out.splitlines() == [
        f"task {ID} of hello:3",
        "       0 ms       accepted",
        "      12 ms  web  network     10.0.0.2  (took 3.1 ms)",
        "             db   | a line",
        "db : CannotPullContainerError: no such image",
        "TaskFailedToStart: CannotPullContainerError: no such image",
    ]


def test_json_has_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell(JsonLines())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [next(iter(each)) for each in lines] == ["task", "step", "step", "log", "task"]
    assert lines[3]["log"] == {"container": "db", **entry(13, "a line\n")}
