"""``hostler volume``: listing, making and removing shared volumes."""

from __future__ import annotations

import json

import pytest

from tests.fakes.api import Body, FakeApi, Refused
from tests.unit.cli.conftest import Hostler

LIST, INSPECT = "Hostler.ListVolumes", "Hostler.InspectVolume"
CREATE, REMOVE = "Hostler.CreateVolume", "Hostler.RemoveVolume"

WEB: Body = {
    "name": "web",
    "driver": "local",
    "driverOpts": {"type": "nfs", "device": ":/web", "o": "addr=nas"},
    "createdAt": "2026-01-02T03:04:05Z",
    "tasks": ["0123456789abcdef", "fedcba9876543210"],
}
PLAIN: Body = {**WEB, "name": "plain", "driverOpts": {}, "tasks": []}
BROKEN: Body = {"name": "broken", "problem": "its record can't be read", "tasks": []}


def test_volumes_are_listed_with_the_tasks_that_use_them(api: FakeApi, hostler: Hostler) -> None:
    api.answers[LIST] = {"volumes": [BROKEN, PLAIN, WEB]}
    ran = hostler("volume", "ls")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NAME", "TYPE", "DEVICE", "CREATED", "TASKS"],
        ["broken", "?", "-", "-", "-"],
        ["plain", "directory", "-", "2026-01-02T03:04:05Z", "-"],
        ["web", "nfs", ":/web", "2026-01-02T03:04:05Z", "0123456789ab,fedcba987654"],
    ]
    assert json.loads(hostler("volume", "ls", "--json").out) == {"volumes": [BROKEN, PLAIN, WEB]}


def test_a_volume_is_shown_as_json(api: FakeApi, hostler: Hostler) -> None:
    api.answers[INSPECT] = {"volume": WEB}
    assert json.loads(hostler("volume", "inspect", "web").out) == WEB
    assert api.asked(INSPECT) == [{"name": "web"}]


def test_a_volume_is_made_with_options_and_labels(api: FakeApi, hostler: Hostler) -> None:
    api.answers[CREATE] = {"volume": WEB}
    options = ("-o", "type=nfs", "--opt", "device=:/web", "-o", "o=addr=nas,ro")
    ran = hostler("volume", "create", "web", *options, "--label", "team=a")
    assert ran == (0, "web\n", "")
    assert api.asked(CREATE) == [
        {
            "name": "web",
            "driverOpts": {"type": "nfs", "device": ":/web", "o": "addr=nas,ro"},
            "labels": {"team": "a"},
        }
    ]
    assert json.loads(hostler("volume", "create", "web", "--json").out) == WEB


@pytest.mark.parametrize("option", ["--opt", "--label"])
@pytest.mark.parametrize("text", ["type", "=nfs"])
def test_half_an_option_is_refused(hostler: Hostler, option: str, text: str) -> None:
    ran = hostler("volume", "create", "web", option, text)
    assert (ran.code, ran.err) == (125, f"hostler: {option} {text}: give KEY=VALUE\n")


def removing(body: Body) -> Body:
    if body["name"] == "used":
        raise Refused("ResourceInUseException", "volume used is in use by task 1")
    return {"removed": body["name"]}


def test_one_that_stays_keeps_no_other_from_going(api: FakeApi, hostler: Hostler) -> None:
    api.answers[REMOVE] = removing
    ran = hostler("volume", "rm", "used", "web")
    assert (ran.code, ran.out) == (125, "web\n")
    assert ran.err == "hostler: ResourceInUseException: volume used is in use by task 1\n"
    ran = hostler("volume", "rm", "web", "plain", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"removed": ["web", "plain"]})
