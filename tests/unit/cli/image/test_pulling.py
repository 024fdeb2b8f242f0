"""``hostler image pull``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fakes.api import Body, FakeApi
from tests.unit.cli.conftest import Hostler

PULL = "POST /images/pull"
NAME = "x.io/a:1"
IMAGE = {"image": {"name": NAME, "id": "sha256:1", "digest": "sha256:2", "stop_signal": None}}


def under_way(state: str, done: int) -> Body:
    layer = {"digest": "sha256:" + "c" * 64, "size": 1000, "state": state, "done": done}
    return {"pulls": [{"image": NAME, "layers": [layer]}]}


def lines(*bodies: Body) -> list[bytes | None]:
    return [json.dumps(each).encode() + b"\n" for each in bodies]


STEPS = lines(under_way("downloading", 10), under_way("done", 1000), IMAGE)


def test_a_pull_shows_its_layers_and_what_came_of_it(api: FakeApi, hostler: Hostler) -> None:
    api.streams[PULL] = STEPS
    assert hostler("image", "pull", NAME) == (
        0,
        f"pulling {NAME}\nlayer cccccccccccc 1 kB\n{NAME}\nsha256:2\n",
        "",
    )
    assert api.asked(PULL) == [{"image": NAME}]


def test_as_json_each_step_is_a_line(api: FakeApi, hostler: Hostler) -> None:
    api.streams[PULL] = STEPS
    out = hostler("image", "pull", NAME, "--json").out
    assert [json.loads(each) for each in out.splitlines()] == [
        under_way("downloading", 10),
        under_way("done", 1000),
        IMAGE,
    ]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_why_a_pull_failed_is_said(api: FakeApi, hostler: Hostler, flags: list[str]) -> None:
    failure = {"__type": "ClientException", "message": "x.io/a:1: not found"}
    api.streams[PULL] = lines(under_way("waiting", 0), failure)
    ran = hostler("image", "pull", NAME, *flags)
    assert (ran.code, ran.err) == (125, "hostler: ClientException: x.io/a:1: not found\n")


def test_a_name_that_is_refused_is_said(hostler: Hostler) -> None:
    ran = hostler("image", "pull", "A")
    assert (ran.code, ran.out) == (125, "")
    assert ran.err == "hostler: InvalidParameterException: POST /images/pull is not there\n"


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ([*STEPS[:1], None], "broke off"),
        (STEPS[:1], "the agent broke off before the image was here"),
        ([b"no json\n"], "is not an agent"),
    ],
)
def test_an_agent_that_breaks_off_is_no_success(
    api: FakeApi, hostler: Hostler, stream: list[bytes | None], said: str
) -> None:
    api.streams[PULL] = stream
    ran = hostler("image", "pull", NAME)
    assert ran.code == 125
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_ctrl_c_hangs_up_which_cancels_the_pull(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def for_ever() -> Iterator[bytes | None]:
        while True:
            yield from lines(under_way("downloading", 10))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    api.streams[PULL] = for_ever()
    monkeypatch.setattr("agent.cli.pulls.Lines.show", interrupted)
    ran = hostler("image", "pull", NAME)
    assert (ran.code, ran.err) == (130, "hostler: the pull is cancelled\n")
    assert api.hung_up.wait(30)
