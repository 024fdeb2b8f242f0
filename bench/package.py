"""What the Debian package takes once installed, from the one that ``./dev deb`` made last."""

from __future__ import annotations

import math
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

DIST = Path(__file__).parents[1] / "dist"


def newest(dist: Path = DIST) -> Path | None:
    """The package that was made last, if there is one."""
    return max(dist.glob("hostler_*.deb"), key=lambda each: each.stat().st_mtime, default=None)


@dataclass(frozen=True, slots=True)
class Weight:
    """Megabytes of 10^6 bytes: as Debian's packages count them (deb-substvars(5),
    Installed-Size), and as blocks of this machine's disk."""

    installed_mb: float
    disk_mb: float


def weight(package: Path, scratch: Path) -> Weight:
    """What the package's files take, found by unpacking it in ``scratch``."""
    subprocess.run(("dpkg-deb", "--extract", package, scratch), check=True)
    kib, blocks = 0, 0
    for each in scratch.rglob("*"):
        found = each.lstat()
        kib += math.ceil(found.st_size / 1024) if stat.S_ISREG(found.st_mode) else 1
        blocks += found.st_blocks
    return Weight(kib * 1024 / 1e6, blocks * 512 / 1e6)
