"""What the Debian package takes on a disk, from the one that ``./dev deb`` made last."""

from __future__ import annotations

import subprocess
from pathlib import Path

DIST = Path(__file__).parents[1] / "dist"


def newest(dist: Path = DIST) -> Path | None:
    """The package that was made last, if there is one."""
    return max(dist.glob("hostler_*.deb"), key=lambda each: each.stat().st_mtime, default=None)


def installed_mb(package: Path, scratch: Path) -> float:
    """Megabytes (10^6 bytes) of disk that its files take, found by unpacking it in ``scratch``."""
    subprocess.run(("dpkg-deb", "--extract", package, scratch), check=True)
    taken = sum(each.lstat().st_blocks * 512 for each in scratch.rglob("*"))
    return taken / 1e6
