"""A root directory in which packages are installed with no systemd there, and thrown away.

It is an overlay of a tree that stays as it is. Commands have namespaces of their own, so what they
do to network, mounts and processes meets nothing of this host's.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND_S = 120.0

_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_ALONE = ("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--")
_ENTER = """\
cd "$0"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount --rbind /dev dev
ip link set lo up
exec chroot . "$@"
"""


@dataclass(frozen=True, slots=True)
class Chroot:
    """The directory: ``path`` is what is seen, ``lower`` the tree, ``upper`` what differs."""

    path: Path
    lower: Path
    upper: Path

    def run(self, *command: str) -> str:
        """What a command prints in there, where it must succeed."""
        ran = self.tried(*command)
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout

    def tried(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command that has ended in there."""
        return subprocess.run(
            [*_ALONE, "sh", "-ec", _ENTER, str(self.path), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=_ENVIRONMENT,
            check=False,
        )

    def changed(self) -> list[str]:
        """The files that differ from the tree's in kind or content, and those that are gone."""
        found = []
        for each in sorted(self.upper.rglob("*")):
            name = each.relative_to(self.upper)
            if not _same(each, self.lower / name):
                found.append(f"/{name}")
        return found


def _same(upper: Path, lower: Path) -> bool:
    if upper.is_symlink() or lower.is_symlink():
        both = upper.is_symlink() and lower.is_symlink()
        return both and upper.readlink() == lower.readlink()
    if upper.is_dir():
        return lower.is_dir()
    return upper.is_file() and lower.is_file() and upper.read_bytes() == lower.read_bytes()


@contextmanager
def chroot(tree: Path) -> Iterator[Chroot]:
    """One over ``tree``; what is written to it is in memory, and gone in the end."""
    top = Path(tempfile.mkdtemp(prefix="ht-chroot-"))
    _mount("tmpfs", top, "size=1g")
    try:
        upper, work, path = (top / each for each in ("upper", "work", "root"))
        for each in (upper, work, path):
            each.mkdir()
        _mount("overlay", path, f"lowerdir={tree},upperdir={upper},workdir={work}")
        yield Chroot(path, tree, upper)
    finally:
        for mounted in (top / "root", top):
            subprocess.run(["umount", mounted], check=False, timeout=COMMAND_S)
        top.rmdir()


def _mount(kind: str, at: Path, options: str) -> None:
    command = ["mount", "-t", kind, "-o", options, kind, str(at)]
    subprocess.run(command, check=True, timeout=COMMAND_S)
