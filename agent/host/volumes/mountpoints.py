"""What is mounted where, and taking it away without asking any file system.

A server that is gone makes whoever looks at its mount wait for ever. The kernel's own table tells
what is mounted without that. A lazy unmount takes it out of the table at once; but who was the last
to use a file system then says goodbye to its server, so that is done by a process that can be
killed (umount(8), told not to look at what it unmounts).

References: proc(5) (mountinfo), umount(8), umount2(2).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

DEADLINE_S = 5.0
"""For the last words to a server."""

_GIVE_UP_S = 1.0
_TABLE = Path("/proc/self/mountinfo")
_UMOUNT = ("umount", "--lazy", "--no-canonicalize", "--internal-only", "--no-mtab", "--")


def mounted() -> tuple[Path, ...]:
    """Every mount point, in the order of the table; one that was mounted over is there twice."""
    lines = _TABLE.read_bytes().splitlines()
    return tuple(Path(os.fsdecode(_plain(line.split(b" ", 5)[4]))) for line in lines)


def at_or_below(path: Path) -> tuple[Path, ...]:
    """The mount points that are ``path`` or below it, those mounted last first."""
    top = real(path)
    return tuple(each for each in reversed(mounted()) if each.is_relative_to(top))


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at ``path``."""
    return real(path) in mounted()


def detach(path: Path) -> None:
    """Nothing is mounted at ``path`` nor below it. Processes that use it go on.

    Blocking, for some seconds where a server does not answer. Raises OSError.
    """
    said = ""
    for each in at_or_below(path):
        said = _unmount(each) or said
    left = at_or_below(path)
    if left:
        raise OSError(f"can't unmount {left[0]}: {said}")


def real(path: Path) -> Path:
    """As the table has it, with links resolved on the way. The last name must be none."""
    return path.parent.resolve() / path.name


def _unmount(path: Path) -> str:
    """What umount(8) says against it, if it does; the table tells whether it was done."""
    process = subprocess.Popen(
        [*_UMOUNT, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=DEADLINE_S)[1].strip()
    except subprocess.TimeoutExpired:
        process.kill()
    try:
        return process.communicate(timeout=_GIVE_UP_S)[1].strip()
    except subprocess.TimeoutExpired:
        return f"it hangs in the kernel (process {process.pid})"


def _plain(field: bytes) -> bytes:
    """A field of the table without its escapes for blanks, newlines and backslashes."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes((int(found[1], 8),)), field)
