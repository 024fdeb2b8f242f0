"""Reading files of a root that is mounted for a moment: what is found, what may not be reached."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.containerd.types import Mount
from agent.host.containers import rootfs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    return tmp_path / "root"


def read(root: Path, *paths: str) -> dict[str, str]:
    """As for a container whose image has one layer."""
    mount = Mount("bind", str(root), ("ro", "rbind"))
    return rootfs.read_files([mount], paths, root.parent / "scratch")


def test_files_are_read_and_missing_ones_are_empty(root: Path) -> None:
    (root / "etc" / "passwd").write_text("root:x:0:0\n")
    found = read(root, "etc/passwd", "etc/group")
    assert found == {"etc/passwd": "root:x:0:0\n", "etc/group": ""}


def test_layers_are_read_as_one_root(root: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper" / "etc"
    upper.mkdir(parents=True)
    (root / "etc" / "passwd").write_text("lower")
    (root / "etc" / "group").write_text("lower")
    (upper / "passwd").write_text("upper")
    overlay = Mount("overlay", "overlay", (f"lowerdir={tmp_path / 'upper'}:{root}",))
    found = rootfs.read_files([overlay], ["etc/passwd", "etc/group"], tmp_path / "scratch")
    assert found == {"etc/passwd": "upper", "etc/group": "lower"}


@pytest.mark.parametrize("target", ["/secret", "../../../../secret", "../secret"])
def test_a_link_leads_to_nothing_outside_the_root(root: Path, target: str) -> None:
    (root.parent / "secret").write_text("of the host")
    (root / "etc" / "passwd").symlink_to(target)
    assert read(root, "etc/passwd") == {"etc/passwd": ""}


def test_an_absolute_link_is_followed_inside_the_root(root: Path) -> None:
    (root / "real").write_text("inside")
    (root / "etc" / "passwd").symlink_to("/real")
    assert read(root, "etc/passwd") == {"etc/passwd": "inside"}


def test_a_pipe_in_the_place_of_a_file_does_not_hold_us(root: Path) -> None:
    os.mkfifo(root / "etc" / "passwd")
    assert read(root, "etc/passwd") == {"etc/passwd": ""}


def test_a_device_in_the_place_of_a_file_is_not_opened(root: Path) -> None:
    os.mknod(root / "etc" / "passwd", stat.S_IFCHR | 0o644, os.makedev(1, 5))  # zeros for ever
    (root / "etc" / "group").symlink_to("passwd")
    assert read(root, "etc/passwd", "etc/group") == {"etc/passwd": "", "etc/group": ""}


def test_a_huge_file_is_read_in_part(root: Path) -> None:
    (root / "etc" / "passwd").write_bytes(b"x" * (rootfs.FILE_LIMIT + 1))
    assert len(read(root, "etc/passwd")["etc/passwd"]) == rootfs.FILE_LIMIT


def test_no_mount_is_seen_by_others(root: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    read(root, "etc/passwd")
    assert Path("/proc/self/mountinfo").read_text().count(str(root.parent)) == before.count(
        str(root.parent)
    )
    assert list((root.parent / "scratch").iterdir()) == []


def test_a_root_that_cant_be_mounted_is_an_error(root: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read(root / "none", "etc/passwd")
