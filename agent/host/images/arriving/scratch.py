"""Layers unpacked apart from those below them, all at once, and put in their place afterwards.

Of a layer that depends on nothing below, containerd writes the same files whatever it stands on.
So each is unpacked into a folder of a snapshot that is never committed, as if that folder were
the upper one of an overlay (then whiteouts are written in overlay's form), and renamed to the
place of the empty upper folder of the snapshot that is. All of this is possible with overlayfs on
this host alone, which is made sure of; whoever can't do it unpacks one layer on top of the other.
"""

from __future__ import annotations

import asyncio
import os
import stat
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.containerd.client import OVERLAYFS, Containerd
from agent.containerd.errors import ContainerdError
from agent.containerd.types import Mount

TIDY_S = 10.0
"""For taking a snapshot away again: a containerd that hangs must not hold up our own end."""

_FOLDER = "fs"
_REMAPPED = ("uidmap=", "gidmap=", "userxattr")
"""Options of mounts whose files are not what they seem."""


class Misfit(Exception):
    """The snapshots of this host are not as expected; the text says how."""


class Scratch:
    """The folders of one image's layers."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def folder(self, chain: str) -> Path:
        """A new folder for that layer. Raises Misfit."""
        made = self._root / chain.replace(":", "-")
        try:
            await asyncio.to_thread(made.mkdir, 0o755)
        except OSError as error:
            raise Misfit(str(error)) from error
        return made

    async def place(self, filled: Path, mounts: tuple[Mount, ...]) -> None:
        """What is in ``filled`` is in the empty prepared snapshot of ``mounts``. Raises Misfit."""
        await asyncio.to_thread(_replace, _upper(mounts), filled)


def as_upper(folder: Path) -> tuple[Mount, ...]:
    """For ``Diff.apply``: the layer is written into ``folder``, nothing is mounted."""
    return (Mount("overlay", "overlay", (f"upperdir={folder}",)),)


@asynccontextmanager
async def scratch(client: Containerd) -> AsyncIterator[Scratch | None]:
    """A snapshot for this meanwhile; None where it can't be done. Raises ContainerdError."""
    if client.snapshotter != OVERLAYFS:
        yield None
        return
    key = f"scratch-{uuid.uuid4().hex}"
    try:
        root = _bound(await client.snapshots.prepare(key))
        yield Scratch(root) if root is not None else None
    finally:
        with suppress(ContainerdError):  # what stays goes with the lease
            await client.snapshots.remove(key, timeout=TIDY_S)


def _bound(mounts: tuple[Mount, ...]) -> Path | None:
    """The folder of a snapshot that stands on nothing, if it can be seen from here."""
    match mounts:
        case (Mount("bind", source, options, ""),) if set(options) == {"rw", "rbind"}:
            folder = Path(source)
            return folder if folder.name == _FOLDER and _is_empty(folder) else None
        case _:
            return None


def _upper(mounts: tuple[Mount, ...]) -> Path:
    match mounts:
        case (Mount("overlay", _, options, ""),) if not any(
            each.startswith(_REMAPPED) for each in options
        ):
            for option in options:
                key, _, value = option.partition("=")
                if key == "upperdir" and Path(value).name == _FOLDER:
                    return Path(value)
    raise Misfit(f"not a plain overlay: {mounts}")


def _replace(empty: Path, filled: Path) -> None:
    """Renames, and leaves the attributes of the folder itself as containerd made them."""
    try:
        if not _is_empty(empty):
            raise Misfit(f"{empty} is not an empty folder")
        made = empty.stat()
        os.chown(filled, made.st_uid, made.st_gid)
        filled.chmod(stat.S_IMODE(made.st_mode))
        for name in os.listxattr(empty):
            os.setxattr(filled, name, os.getxattr(empty, name))
        filled.rename(empty)
    except OSError as error:
        raise Misfit(str(error)) from error


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False
