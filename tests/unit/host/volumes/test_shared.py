"""Shared volumes on the disk: whole or not there, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.volumes.errors import VolumeError
from agent.host.volumes.shared import SharedVolume, SharedVolumes

ONE = SharedVolume("one", 5.0, {"type": "tmpfs", "device": "tmpfs"}, {"team": "a"})


@pytest.fixture
def shared(tmp_path: Path) -> SharedVolumes:
    return SharedVolumes(tmp_path / "shared-volumes")


def test_what_was_made_is_found(shared: SharedVolumes) -> None:
    assert (shared.find("one"), shared.names()) == (None, ())
    shared.create(ONE)
    assert (shared.find("one"), shared.names()) == (ONE, ("one",))
    assert shared.path("one").stat().st_mode & 0o777 == 0o755
    assert shared.path("one").with_name("volume.json").stat().st_mode & 0o777 == 0o600


def test_one_that_is_there_stays(shared: SharedVolumes) -> None:
    shared.create(ONE)
    (shared.path("one") / "file").write_text("kept")
    shared.create(SharedVolume("one", 6.0))
    assert shared.find("one") == ONE
    assert (shared.path("one") / "file").read_text() == "kept"
    assert shared.names() == ("one",)


def test_a_directory_of_somebody_else_is_not_taken(shared: SharedVolumes) -> None:
    shared.path("one").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        shared.create(ONE)
    assert [each.name for each in shared.path("one").parent.iterdir()] == ["data"]


@pytest.mark.parametrize("text", ["", "{}", '{"createdAt": 1, "more": 1}', "\x00"])
def test_a_record_that_cant_be_read_is_named(shared: SharedVolumes, text: str) -> None:
    shared.create(ONE)
    record = shared.path("one").with_name("volume.json")
    record.write_text(text)
    with pytest.raises(VolumeError, match=f"shared volume one: {record}"):
        shared.find("one")


def test_drafts_are_swept_and_volumes_are_not(shared: SharedVolumes, tmp_path: Path) -> None:
    shared.create(ONE)
    (tmp_path / "shared-volumes" / ".draft" / "data").mkdir(parents=True)
    assert shared.names() == ("one",)
    shared.sweep()
    assert [each.name for each in (tmp_path / "shared-volumes").iterdir()] == ["one"]
