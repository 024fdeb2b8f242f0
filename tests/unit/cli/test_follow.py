"""Following a task: order, interrupts and the exit code."""

import itertools
import signal
from typing import Any

import pytest

from agent.cli.client import Client
from agent.cli.follow import LEFT, Followed, exit_code, follow
from agent.cli.interrupts import Interrupts
from agent.cli.pulls import Shown
from tests.fakes.api import Body, FakeApi
from tests.unit.cli.worlds import ARN, container, entry, happen, step, task, write

ESSENTIAL = frozenset({"web", "job"})
FOLLOWED = Followed(ARN, ESSENTIAL, ("web",))


class Recorder:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, task: Body) -> None:
        self.lines.append("begin")

    def step(self, step: Body) -> None:
        self.lines.append(step["what"])

    def log(self, container: str, entry: Body) -> None:
        self.lines.append(f"{container}: {entry['text']}")

    def pulls(self, pulls: Shown) -> None:
        self.lines += [f"pulling {each['image']}" for each in pulls]

    def end(self, task: Body) -> None:
        self.lines.append("end")

    def close(self) -> None:
        self.lines.append("closed")


def ended(**codes: Any) -> Body:
    return task(*(container(name, exitCode=code) for name, code in codes.items()))


def test_steps_and_logs_are_shown_in_the_order_of_time(api: FakeApi) -> None:
    happen(api, ended(web=0), step(0, "started"), step(20, "exited", "web"), step(30, "closed"))
    write(api, web=[entry(10, "one"), entry(25, "late")])
    screen = Recorder()
    with Interrupts() as interrupts:
        assert follow(Client(api.path), FOLLOWED, screen, interrupts) == 0
    assert screen.lines == ["started", "web: one", "exited", "web: late", "closed", "end"]


def test_nothing_is_shown_twice_when_there_is_more_to_come(api: FakeApi) -> None:
    steps = [step(number, str(number)) for number in range(4)]

    def watch(body: Body) -> Body:
        news = steps[body["since"] :][:1]
        return {"task": ended(web=0), "steps": news, "closed": body["since"] == 3, "pulls": []}

    api.answers["Hostler.WatchTask"] = watch
    write(api, web=[entry(1, "one")])
    screen = Recorder()
    with Interrupts() as interrupts:
        follow(Client(api.path), FOLLOWED, screen, interrupts)
    assert screen.lines == ["0", "1", "web: one", "2", "3", "end"] or screen.lines == [
        "0",
        "web: one",
        "1",
        "2",
        "3",
        "end",
    ]


def test_ctrl_c_stops_then_kills_then_leaves(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = itertools.count()

    def watch(body: Body) -> Body:
        if next(turns) in (1, 2, 3):
            signal.raise_signal(signal.SIGINT)  # as if while the answer is on its way
        return {"task": task(), "steps": [], "closed": False, "pulls": []}

    api.answers |= {"Hostler.WatchTask": watch, "StopTask": {}}
    write(api)
    with Interrupts() as interrupts:
        assert follow(Client(api.path), FOLLOWED, Recorder(), interrupts) == LEFT
    assert api.asked("StopTask") == [{"task": ARN}, {"task": ARN, "force": True}]
    assert "once more to kill it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "codes", "expected"),
    [
        ([("exited", "web")], {"web": 7}, 7),
        ([("exited", "side"), ("exited", "web")], {"side": 3, "web": 0}, 0),
        ([("exited", "job"), ("exited", "web")], {"web": 143, "job": 0}, 0),
        ([("exited", "web"), ("exited", "job")], {"web": 5, "job": 0}, 5),
        ([("gave up", "web"), ("exited", "job")], {"job": 0}, 1),
        ([("gave up", "web")], {"web": 143}, 1),
        ([], {}, 1),
    ],
)
def test_the_essential_container_that_ended_first_decides(
    ends: list[tuple[str, str]], codes: dict[str, int], expected: int
) -> None:
    steps = [step(number, what, name) for number, (what, name) in enumerate(ends)]
    assert exit_code(ended(**codes), steps, ESSENTIAL) == expected
