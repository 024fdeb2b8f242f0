"""``hostler image ls`` and ``inspect``."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.fakes.api import Body, FakeApi
from tests.unit.cli.conftest import Hostler

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.image.listing.time.time", lambda: NOW)


def image(name: str, digit: str = "d", **facts: object) -> Body:
    plain = {
        "name": name,
        "id": "sha256:1",
        "digest": "sha256:" + digit * 64,
        "size": 1_234_567,
        "createdAt": None,
        "pulledAt": None,
        "usedAt": None,
        "tasks": 0,
    }
    return plain | facts


IMAGES = [
    image("localhost:5000/a:1", createdAt=NOW - 3 * 86400, pulledAt=NOW - 7200, usedAt=NOW - 60),
    image("localhost:5000/a@sha256:" + "d" * 64, pulledAt=NOW),
    image("localhost:5000/a@sha256:" + "e" * 64, "e", tasks=2),
]


def table(text: str) -> list[list[str]]:
    return [[each.strip() for each in line.split("  ") if each] for line in text.splitlines()]


def test_ls_has_a_line_for_each_tag_and_for_what_has_none(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.ListImages"] = {"images": IMAGES}
    ran = hostler("image", "ls")
    assert (ran.code, ran.err) == (0, "")
    assert table(ran.out) == [
        ["NAME", "TAG", "DIGEST", "SIZE", "CREATED", "PULLED", "USED", "TASKS"],
        [
            "localhost:5000/a",
            "1",
            "sha256:dddddddddddd",
            "1.23 MB",
            "3d ago",
            "2h ago",
            "1m ago",
            "0",
        ],
        ["localhost:5000/a", "-", "sha256:eeeeeeeeeeee", "1.23 MB", "-", "-", "-", "2"],
    ]
    assert json.loads(hostler("image", "ls", "--json").out) == {"images": IMAGES}


def test_ls_of_nothing_has_headings_only(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.ListImages"] = {"images": []}
    assert len(hostler("image", "ls").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (83, []),
        (82, ["CREATED"]),
        (74, ["CREATED"]),
        (73, ["CREATED", "USED"]),
        (20, ["CREATED", "USED", "PULLED"]),
    ],
)
def test_a_narrow_terminal_sees_fewer_columns(
    api: FakeApi,
    hostler: Hostler,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    left_out: list[str],
) -> None:
    api.answers["Hostler.ListImages"] = {"images": IMAGES}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((width, 24)))
    headings = hostler("image", "ls").out.splitlines()[0].split()
    assert {"CREATED", "PULLED", "USED"} - set(headings) == set(left_out)
    assert headings[0] == "NAME"
    assert headings[-1] == "TASKS"


def test_inspect_prints_all_of_an_image(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.InspectImage"] = {"image": {"names": ["a:1"]}}
    assert json.loads(hostler("image", "inspect", "a:1").out) == {"names": ["a:1"]}
    assert api.asked("Hostler.InspectImage") == [{"image": "a:1"}]
    assert hostler("image", "inspect", "a:1", "--json").code == 0


def test_names_are_completed(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.cli import options
    from agent.cli.client import Client
    from agent.cli.errors import CommandError

    api.answers["Hostler.ListImages"] = {"images": IMAGES}
    monkeypatch.setattr(options, "connect", lambda _: Client(api.path))
    assert options._image_names("localhost:5000/a:") == ["localhost:5000/a:1"]

    def away(_: object) -> Client:
        raise CommandError("no agent answers")

    monkeypatch.setattr(options, "connect", away)
    assert options._image_names("") == []
