"""``hostler image``."""

import io
import json
from pathlib import Path

import pytest

from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler

IMAGE = {"name": "a:1", "id": "sha256:1", "digest": "sha256:" + "d" * 64, "size": 1_234_567}


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


def test_ls_lists_names_digests_and_sizes(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.ListImages"] = {"images": [IMAGE]}
    assert [line.split() for line in hostler("image", "ls").out.splitlines()] == [
        ["NAME", "DIGEST", "SIZE"],
        ["a:1", "sha256:dddddddddddd", "1.23", "MB"],
    ]
    assert json.loads(hostler("image", "ls", "--json").out) == {"images": [IMAGE]}
