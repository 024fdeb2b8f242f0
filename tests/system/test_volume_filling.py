"""New volumes get what the image has at their place, and nothing from anywhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.containerd.types import Mount
from agent.host.volumes import filling
from agent.host.volumes.binding import Fresh
from agent.host.volumes.errors import VolumeError
from tests.system import trees


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The root of an image with a directory ``srv``."""
    srv = tmp_path / "image" / "srv"
    (srv / "sub").mkdir(parents=True)
    for name in ("file", "more"):
        (srv / name).write_text("of the image")
    (srv / "sub" / "tool").write_bytes(b"\x7fELF")
    os.chown(srv / "sub" / "tool", 7, 8)
    (srv / "sub" / "tool").chmod(0o4755)
    os.setxattr(srv / "sub" / "tool", "user.note", b"x")
    (srv / "sub" / "link").symlink_to("../file")
    os.chown(srv, 1000, 100)
    srv.chmod(0o1770)
    os.utime(srv, (1, 2))
    return tmp_path / "image"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def fill(image: Path, volume: Path, path: str = "/srv") -> None:
    mark, scratch = volume.with_name("mark"), volume.with_name("scratch")
    scratch.mkdir(exist_ok=True)
    root = [Mount("bind", str(image), ("ro", "rbind"))]
    filling.fill([Fresh(volume, path, mark)], root, scratch)
    assert not mark.exists()
    assert list(scratch.iterdir()) == []


def test_a_volume_is_as_the_images_directory(image: Path, volume: Path) -> None:
    fill(image, volume)
    assert trees.read(volume) == trees.read(image / "srv")


def test_an_empty_directory_gives_its_owner_and_mode(image: Path, volume: Path) -> None:
    (image / "empty").mkdir()
    os.chown(image / "empty", 1000, 100)
    fill(image, volume, "/empty")
    assert (volume.stat().st_uid, volume.stat().st_gid) == (1000, 100)
    assert list(volume.iterdir()) == []


@pytest.mark.parametrize("path", ["/nothing", "/srv/file", "/srv/nothing/below"])
def test_where_the_image_has_no_directory_the_volume_stays(
    image: Path, volume: Path, path: str
) -> None:
    before = trees.read(volume)
    fill(image, volume, path)
    assert trees.read(volume) == before


def test_a_volume_with_something_in_it_stays(image: Path, volume: Path) -> None:
    (volume / "mine").write_text("x")
    before = trees.read(volume)
    fill(image, volume)
    assert trees.read(volume) == before


def test_what_was_cut_short_is_gone_on_with_and_nothing_overwritten(
    image: Path, volume: Path
) -> None:
    volume.with_name("mark").touch()
    (volume / "file").write_text("mine")
    (volume / "sub").write_text("a file of mine")
    (volume / ".hostler-filling").write_text("half")
    fill(image, volume)
    assert (volume / "file").read_text() == "mine"
    assert (volume / "sub").read_text() == "a file of mine"
    assert (volume / "more").read_text() == "of the image"
    assert not (volume / ".hostler-filling").exists()


@pytest.mark.parametrize("target", ["/outside", "../../outside", "../outside"])
def test_a_link_of_the_image_leads_to_nothing_outside(
    image: Path, volume: Path, target: str
) -> None:
    (image.parent / "outside").mkdir()
    (image.parent / "outside" / "secret").write_text("of the host")
    (image / "evil").symlink_to(target)
    (image / "srv" / "evil").symlink_to(target)
    fill(image, volume, "/evil")
    assert list(volume.iterdir()) == []
    fill(image, volume)
    assert (volume / "evil").is_symlink()


def test_a_link_in_the_volume_leads_to_nothing_outside(image: Path, volume: Path) -> None:
    outside = image.parent / "outside"
    outside.mkdir()
    volume.with_name("mark").touch()
    for name in ("sub", ".hostler-filling", "file"):
        (volume / name).symlink_to(outside / "file" if name == "file" else outside)
    fill(image, volume)
    assert list(outside.iterdir()) == []


def test_what_is_no_file_is_left_out(image: Path, volume: Path) -> None:
    os.mkfifo(image / "srv" / "pipe")
    os.mknod(image / "srv" / "disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
    fill(image, volume)
    assert sorted(each.name for each in volume.iterdir()) == ["file", "more", "sub"]


def test_an_image_without_end_is_refused(image: Path, volume: Path) -> None:
    deep = image / "srv"
    for _ in range(filling.DEEPEST + 2):
        deep = deep / "d"
        deep.mkdir()
    with pytest.raises(VolumeError, match=f"more than {filling.DEEPEST} deep"):
        fill(image, volume)
    assert volume.with_name("mark").exists()
