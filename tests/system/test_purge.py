"""What a purge of the package deletes: its folders, and nothing that is mounted below them.

With what the script of the package does for each folder, in a mount namespace of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.agent import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

POSTRM = ROOT / "packaging/debian/postrm"
FUNCTIONS = r"(?ms)^(?:mounted_below|remove_folder)\(\) \{$.*?^\}$"


def purged(folder: Path, *mounts: tuple[Path, Path]) -> str:
    """What the script says when it removes the folder while these are mounted: what, and where."""
    functions = re.findall(FUNCTIONS, POSTRM.read_text())
    assert len(functions) == 2
    lines = [
        *("set -e", *functions),
        *(f"mount --bind '{what}' '{where}'" for what, where in mounts),
        f"remove_folder '{folder}'",
    ]
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return ran.stderr


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder with a file that is nobody's business."""
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "file").write_text("precious")
    return folder


def state(path: Path) -> Path:
    (path / "volumes/one").mkdir(parents=True)
    return path


def test_it_is_gone(tmp_path: Path) -> None:
    folder = state(tmp_path / "lib/hostler")
    assert purged(folder) == ""
    assert not folder.exists()
    assert purged(folder) == ""


@pytest.mark.parametrize("disk", ["disk", "a disk", "a\\disk", "a\tdisk"])
def test_what_is_mounted_below_stays_also_with_a_link_on_the_way(
    tmp_path: Path, others: Path, disk: str
) -> None:
    (tmp_path / disk).mkdir()
    (tmp_path / "var").symlink_to(disk)
    folder = state(tmp_path / "var/lib/hostler")
    said = purged(folder, (others, folder / "volumes/one"))
    assert said == f"hostler: something is mounted below {folder}, so it was left\n"
    assert (others / "file").read_text() == "precious"


def test_the_folder_mounted_elsewhere_keeps_nothing(tmp_path: Path, others: Path) -> None:
    folder = state(tmp_path / "lib/hostler")
    assert purged(folder, (folder / "volumes", others)) == ""
    assert not folder.exists()


def test_of_a_link_that_stands_for_it_only_the_link_goes(tmp_path: Path, others: Path) -> None:
    folder = tmp_path / "hostler"
    folder.symlink_to(others)
    assert purged(folder) == ""
    assert not folder.is_symlink()
    assert (others / "file").exists()
