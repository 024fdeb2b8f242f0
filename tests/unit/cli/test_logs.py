"""``hostler logs``."""

import json
import time

import pytest

from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import ID, container, entry, happen, know, step, task, write

BOTH = task(container("web"), container("client"))


@pytest.fixture(autouse=True)
def _two_containers(api: FakeApi) -> None:
    know(api, BOTH)
    write(
        api,
        web=[entry(1, "up\n"), entry(3, "oh\n", "stderr")],
        client=[entry(2, "hello "), entry(4, "bye")],
    )


def test_one_container_is_printed_as_it_wrote(hostler: Hostler) -> None:
    assert hostler("logs", ID, "web") == (0, "up\n", "oh\n")
    assert hostler("logs", ID, "client") == (0, "hello bye", "")


def test_several_containers_are_merged_by_time_and_named(hostler: Hostler) -> None:
    assert hostler("logs", ID).out.splitlines() == [
        "web    | up",
        "client | hello ",
        "web    | oh",
        "client | bye",
    ]


def test_json_is_an_object_a_line(hostler: Hostler) -> None:
    lines = [json.loads(line) for line in hostler("logs", ID, "web", "--json").out.splitlines()]
    assert lines[0] == {"container": "web", **entry(1, "up\n")}


def test_follow_goes_on_until_the_task_is_closed(api: FakeApi, hostler: Hostler) -> None:
    happen(api, BOTH, step(0, "accepted"))
    assert hostler("logs", ID, "web", "-f") == (0, "up\n", "oh\n")


def test_tail_and_since_are_for_the_first_question(api: FakeApi, hostler: Hostler) -> None:
    before = time.time()
    hostler("logs", ID, "web", "--tail", "5", "--since", "10m")
    first = api.asked("Hostler.GetLogs")[0]
    assert first["tail"] == 5
    assert before <= first["sinceTime"] + 600 <= time.time()


def test_since_takes_a_time(api: FakeApi, hostler: Hostler) -> None:
    hostler("logs", ID, "web", "--since", "1970-01-01T00:01:00Z")
    assert api.asked("Hostler.GetLogs")[0]["sinceTime"] == 60


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((ID, "nope"), "has no container 'nope'"),
        ((ID, "--since", "yesterday"), "--since yesterday"),
    ],
)
def test_what_is_wrong_is_said(hostler: Hostler, arguments: tuple[str, ...], why: str) -> None:
    ran = hostler("logs", *arguments)
    assert ran.code == 125
    assert why in ran.err
