"""``hostler image rm`` and ``prune``."""

from __future__ import annotations

import json

import pytest

from tests.fakes.api import Body, FakeApi, Refused
from tests.unit.cli.conftest import Hostler

REMOVE, PRUNE = "Hostler.RemoveImage", "Hostler.PruneImages"


def removing(body: Body) -> Body:
    if body["image"] == "needed" and not body["force"]:
        raise Refused("ResourceInUseException", "image needed is needed by task 1: stop them first")
    return {"removed": [f"x.io/{body['image']}:1"], "freed": 5}


def test_images_are_removed_one_after_the_other(api: FakeApi, hostler: Hostler) -> None:
    api.answers[REMOVE] = removing
    assert hostler("image", "rm", "a", "b") == (0, "x.io/a:1\nx.io/b:1\n", "")
    assert api.asked(REMOVE) == [{"image": "a", "force": False}, {"image": "b", "force": False}]
    answer = json.loads(hostler("image", "rm", "needed", "a", "--force", "--json").out)
    assert answer == {"removed": ["x.io/needed:1", "x.io/a:1"], "freed": 10}


def test_one_that_stays_keeps_no_other_from_going(api: FakeApi, hostler: Hostler) -> None:
    api.answers[REMOVE] = removing
    ran = hostler("image", "rm", "needed", "a")
    assert (ran.code, ran.out) == (125, "x.io/a:1\n")
    assert ran.err == (
        "hostler: ResourceInUseException: image needed is needed by task 1: stop them first\n"
    )
    ran = hostler("image", "rm", "needed", "--json")
    assert (ran.code, json.loads(ran.out)) == (125, {"removed": [], "freed": 0})


ANSWER = {
    "decisions": [
        {
            "names": ["x.io/a:1", "x.io/a@sha256:0"],
            "digest": "sha256:0",
            "size": 1_500,
            "removed": True,
            "why": "no task needs it, pulled 2 days ago",
            "freed": 3_000,
        },
        {
            "names": ["x.io/b@sha256:1"],
            "digest": "sha256:1",
            "size": 10,
            "removed": False,
            "why": "a task refers to it",
            "freed": 0,
        },
    ],
    "freed": 3_000,
}


@pytest.mark.parametrize(
    ("flags", "goes", "total"),
    [([], "removed", "freed 3 kB"), (["--dry-run"], "would go", "would free 3 kB")],
)
def test_prune_tells_of_each_image_what_became_of_it_and_why(
    api: FakeApi, hostler: Hostler, flags: list[str], goes: str, total: str
) -> None:
    api.answers[PRUNE] = ANSWER
    ran = hostler("image", "prune", *flags)
    assert (ran.code, ran.err) == (0, "")
    lines = [[each.strip() for each in line.split("  ") if each] for line in ran.out.splitlines()]
    assert lines == [
        ["IMAGE", "SIZE", "DECISION", "WHY"],
        ["x.io/a:1", "1.5 kB", goes, "no task needs it, pulled 2 days ago"],
        ["x.io/b@sha256:1", "10 B", "kept", "a task refers to it"],
        [total],
    ]
    assert json.loads(hostler("image", "prune", *flags, "--json").out) == ANSWER


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ([], (False, False, 0)),
        (["--dry-run", "--older-than", "2h"], (True, False, 7200)),
        (["--scheduled"], (False, True, 0)),
    ],
)
def test_prune_asks_for_what_was_asked(
    api: FakeApi, hostler: Hostler, flags: list[str], asked: tuple[bool, bool, int]
) -> None:
    api.answers[PRUNE] = {"decisions": [], "freed": 0}
    hostler("image", "prune", *flags)
    names = ("dryRun", "scheduled", "olderThanSeconds")
    assert api.asked(PRUNE) == [dict(zip(names, asked, strict=True))]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--older-than", "soon"], "--older-than soon: give a span such as 10m, 2h or 3d"),
        (["--older-than", "2h", "--scheduled"], "has its own ages"),
    ],
)
def test_what_makes_no_sense_is_not_asked(
    api: FakeApi, hostler: Hostler, flags: list[str], said: str
) -> None:
    ran = hostler("image", "prune", *flags)
    assert (ran.code, ran.out) == (125, "")
    assert said in ran.err
    assert not api.calls
