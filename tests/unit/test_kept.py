"""What is made once for many test runs: by one at a time, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.machines import kept as module
from tests.machines.kept import UNUSED_S, kept


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACE", tmp_path / "place")


def whole(path: Path, _: int) -> None:
    (path / "file").touch(exist_ok=False)


def test_who_wants_it_meanwhile_waits_for_it() -> None:
    made = []

    def make(path: Path, lock: int) -> None:
        made.append(path)
        whole(path, lock)

    with ThreadPoolExecutor(4) as several:
        paths = list(several.map(lambda _: kept("kind", "recipe", make), range(4)))
    assert len(made) == 1
    assert len(set(paths)) == 1
    assert (paths[0] / "file").exists()


def test_another_recipe_makes_another() -> None:
    assert kept("kind", "one", whole) != kept("kind", "two", whole)


def test_what_was_left_half_done_is_begun_anew() -> None:
    def fails(path: Path, lock: int) -> None:
        whole(path, lock)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        kept("kind", "recipe", fails)
    assert (kept("kind", "recipe", whole) / "file").exists()


def test_nobody_begins_anew_before_the_programs_of_a_dead_maker_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def dies(_: Path, lock: int) -> None:
        started.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock]))
        raise RuntimeError("dead")

    monkeypatch.setattr(module, "WAIT_S", 0.1)
    with pytest.raises(RuntimeError, match="dead"):
        kept("kind", "recipe", dies)
    with started[0] as program:
        with pytest.raises(TimeoutError, match="is locked for more than 0 s"):
            kept("kind", "recipe", whole)
        assert program.stdin is not None
        program.stdin.close()
    assert kept("kind", "recipe", whole).exists()


def test_what_nobody_wanted_for_long_goes_when_another_is_made() -> None:
    old, other = kept("kind", "old", whole), kept("other", "old", whole)
    fresh = kept("kind", "fresh", whole)
    long_ago = time.time() - UNUSED_S - 1
    for each in (old, other):
        os.utime(each.with_suffix(".lock"), (long_ago, long_ago))
    latest = kept("kind", "latest", whole)
    assert not old.exists()
    assert not old.with_suffix(".lock").exists()
    assert [each.exists() for each in (fresh, latest, other)] == [True, True, True]
