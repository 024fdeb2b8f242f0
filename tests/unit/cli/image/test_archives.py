"""``hostler image load`` and ``save``."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.test_pulls import Terminal

SAVE = "GET /images/save"


def test_an_archive_is_sent_and_its_images_named(
    api: FakeApi, hostler: Hostler, tmp_path: Path
) -> None:
    api.answers["POST /images"] = {"images": ["a:1", "a:2"]}
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x" * 600_000)
    assert hostler("image", "load", str(archive)) == (0, "a:1\na:2\n", "")
    assert api.loaded == b"x" * 600_000


def test_an_archive_comes_from_standard_input(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST /images"] = {"images": ["a:1"]}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"archive")))
    assert json.loads(hostler("image", "load", "-", "--json").out) == {"images": ["a:1"]}
    assert api.loaded == b"archive"


def test_a_missing_archive_is_named(hostler: Hostler) -> None:
    assert hostler("image", "load", "/none.tar") == (
        125,
        "",
        "hostler: can't read /none.tar: No such file or directory\n",
    )


def test_images_are_saved_to_a_file(api: FakeApi, hostler: Hostler, tmp_path: Path) -> None:
    api.streams[SAVE] = [b"one ", b"two"]
    file = tmp_path / "a.tar"
    file.write_text("before")
    assert hostler("image", "save", "a", "x.io/b:1", "-o", str(file)) == (0, "", "")
    assert file.read_text() == "one two"
    assert os.listdir(tmp_path) == sorted(["a.tar", "api.sock"])  # noqa: PTH208 - names
    assert api.asked(SAVE) == [{"name": ["a", "x.io/b:1"]}]
    told = json.loads(hostler("image", "save", "a", "-o", str(file), "--json").out)
    assert told == {"images": ["a"], "file": str(file), "size": 7}


def test_images_are_saved_to_standard_output(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.streams[SAVE] = [b"\xff\x00", b"two"]
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", out)
    assert hostler("image", "save", "a", "-o", "-", "--json").code == 0
    out.seek(0)
    assert out.buffer.read() == b"\xff\x00two"


def test_a_terminal_gets_no_archive(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = hostler("image", "save", "a", "-o", "-")
    assert (ran.code, ran.err) == (
        125,
        "hostler: an archive is not for a terminal: give -o FILE, or redirect the output\n",
    )
    assert not api.calls


def test_what_breaks_off_leaves_the_file_as_it_was(
    api: FakeApi, hostler: Hostler, tmp_path: Path
) -> None:
    api.streams[SAVE] = [b"half", None]
    file = tmp_path / "a.tar"
    file.write_text("before")
    ran = hostler("image", "save", "a", "-o", str(file))
    assert (ran.code, ran.out) == (125, "")
    assert "broke off" in ran.err
    assert file.read_text() == "before"
    assert {each.name for each in tmp_path.iterdir()} == {"a.tar", "api.sock"}
    assert hostler("image", "save", "a", "-o", str(tmp_path / "b.tar")).code == 125
    assert not (tmp_path / "b.tar").exists()


@pytest.mark.parametrize(
    ("target", "why"),
    [("/dev/full", "No space left on device"), ("/none/a.tar", "No such file or directory")],
)
def test_what_can_not_be_written_is_said(
    api: FakeApi, hostler: Hostler, target: str, why: str
) -> None:
    api.streams[SAVE] = [b"one"]
    ran = hostler("image", "save", "a", "-o", target)
    assert (ran.code, ran.err) == (125, f"hostler: can't write {target}: {why}\n")
    assert Path("/dev/full").is_char_device()


def test_an_image_that_is_not_there_leaves_no_file(hostler: Hostler, tmp_path: Path) -> None:
    ran = hostler("image", "save", "none", "-o", str(tmp_path / "a.tar"))
    assert (ran.code, ran.err) == (
        125,
        "hostler: InvalidParameterException: GET /images/save is not there\n",
    )
    assert not (tmp_path / "a.tar").exists()


def test_a_terminal_shows_how_far_it_is(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.streams[SAVE] = [b"x" * 2_000_000]
    with closing(Terminal()) as screen:
        monkeypatch.setattr("sys.stderr", screen.file)
        monkeypatch.setenv("TERM", "xterm")
        assert hostler("image", "save", "a", "-o", str(tmp_path / "a.tar")).code == 0
        screen.file.flush()
        assert "saving" in screen.read()
