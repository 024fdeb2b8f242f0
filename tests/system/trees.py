"""Root file systems as values that can be compared: whatever a program in a container could see."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_OVERLAY = "trusted.overlay."
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One name. ``mtime`` is in nanoseconds; ``size`` and ``digest`` are those of files.

    ``twins``: all names of the same file, if there are several. Attributes of overlayfs itself
    are left out.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    digest: str = ""
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] | None = None
    twins: tuple[str, ...] = ()


Tree = Mapping[str, Node]
"""By path below the root, which is ``.`` itself."""


def read(root: Path) -> Tree:
    """The tree as it is now. Nothing may change in it meanwhile."""
    statuses = {str(each.relative_to(root)): os.lstat(each) for each in (root, *_below(root))}
    names: dict[tuple[int, int], list[str]] = {}
    for path, status in statuses.items():
        if not stat.S_ISDIR(status.st_mode):
            names.setdefault((status.st_dev, status.st_ino), []).append(path)
    twins = {path: tuple(sorted(each)) for each in names.values() if each[1:] for path in each}
    return {
        path: _node(root / path, status, twins.get(path, ())) for path, status in statuses.items()
    }


def differences(ours: Tree, theirs: Tree) -> list[str]:
    """What differs, a line for each: ``path: what ours theirs``."""
    found = []
    for path in sorted({*ours, *theirs}):
        one, other = ours.get(path), theirs.get(path)
        if one is None or other is None:
            found.append(f"{path}: {'only theirs' if one is None else 'only ours'}")
            continue
        for name in (each.name for each in fields(Node)):
            left, right = getattr(one, name), getattr(other, name)
            if left != right:
                found.append(f"{path}: {name} {left!r} {right!r}")
    return found


def _below(root: Path) -> list[Path]:
    found = []
    for folder, directories, files in os.walk(root):
        found += [Path(folder, name) for name in (*directories, *files)]
    return found


def _node(path: Path, status: os.stat_result, twins: tuple[str, ...]) -> Node:
    kind = stat.S_IFMT(status.st_mode)
    regular, special = kind == stat.S_IFREG, kind in (stat.S_IFCHR, stat.S_IFBLK)
    return Node(
        kind=_KINDS[kind],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if regular else 0,
        digest=_digest(path) if regular else "",
        target=str(path.readlink()) if kind == stat.S_IFLNK else "",
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if special else (0, 0),
        xattrs=_xattrs(path),
        twins=twins,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path: Path) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in sorted(names)
        if not name.startswith(_OVERLAY)
    }
