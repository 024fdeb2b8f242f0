"""Where layers are unpacked apart: only where the snapshots are just as expected."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.containerd.types import Mount
from agent.host.images.arriving.scratch import Misfit, Scratch, as_upper, scratch

CHAIN = "sha256:1234"


class Snapshots:
    """Gives these mounts for whatever is prepared, and notes what is removed."""

    def __init__(self, *mounts: Mount) -> None:
        self.mounts = mounts
        self.keys: list[str] = []

    async def prepare(self, key: str) -> tuple[Mount, ...]:
        self.keys.append(key)
        return self.mounts

    async def remove(self, key: str, *, timeout: float) -> None:
        if key not in self.keys:
            raise NotFound(key)
        self.keys.remove(key)


@asynccontextmanager
async def made(*mounts: Mount, snapshotter: str = "overlayfs") -> AsyncIterator[Scratch | None]:
    snapshots = Snapshots(*mounts)
    client = cast(Containerd, SimpleNamespace(snapshotter=snapshotter, snapshots=snapshots))
    async with scratch(client) as found:
        yield found
    assert snapshots.keys == []


def bound(folder: Path, *options: str) -> Mount:
    return Mount("bind", str(folder), options or ("rw", "rbind"))


def overlay(upper: Path, *options: str) -> tuple[Mount, ...]:
    lower = f"lowerdir={upper.parent}"
    return (Mount("overlay", "overlay", (f"upperdir={upper}", "workdir=/w", lower, *options)),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The empty folder of a snapshot."""
    made = tmp_path / "1" / "fs"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    """The empty folder of the snapshot to be."""
    made = tmp_path / "2" / "fs"
    made.mkdir(parents=True)
    return made


async def test_a_layer_gets_a_folder_and_its_place(folder: Path, upper: Path) -> None:
    async with made(bound(folder)) as found:
        assert found is not None
        filled = await found.folder(CHAIN)
        assert as_upper(filled) == (Mount("overlay", "overlay", (f"upperdir={filled}",)),)
        (filled / "file").write_text("x")
        filled.chmod(0o700)
        upper.chmod(0o751)
        await found.place(filled, overlay(upper, "index=off"))
        assert (upper / "file").read_text() == "x"
        assert upper.stat().st_mode & 0o7777 == 0o751
        assert not filled.exists()


async def test_attributes_of_the_empty_folder_stay(folder: Path, upper: Path) -> None:
    try:
        os.setxattr(upper, "user.label", b"kept")
    except OSError:
        pytest.skip("no extended attributes of users on this file system")
    async with made(bound(folder)) as found:
        assert found is not None
        await found.place(await found.folder(CHAIN), overlay(upper))
    assert os.getxattr(upper, "user.label") == b"kept"


async def test_other_snapshotters_are_not_even_asked() -> None:
    async with made(snapshotter="native") as found:
        assert found is None


async def test_a_folder_must_be_bound_empty_and_seen_from_here(folder: Path) -> None:
    elsewhere = folder.parent / "other"
    elsewhere.mkdir()
    unexpected = (
        (),
        (bound(folder), bound(folder)),
        (bound(folder, "rw", "rbind", "uidmap=0:1000:10"),),
        (bound(folder, "ro", "rbind"),),
        (bound(folder.parent / "missing" / "fs"),),
        (bound(elsewhere),),
        overlay(folder),
    )
    for mounts in unexpected:
        async with made(*mounts) as found:
            assert found is None, mounts
    (folder / "file").touch()
    async with made(bound(folder)) as found:
        assert found is None


async def test_a_place_must_be_a_plain_overlay(folder: Path, upper: Path) -> None:
    async with made(bound(folder)) as found:
        assert found is not None
        filled = await found.folder(CHAIN)
        for mounts in (
            (),
            (bound(upper),),
            overlay(upper, "userxattr"),
            overlay(upper, "uidmap=0:1000:10"),
            overlay(upper.parent),
            (*overlay(upper), *overlay(upper)),
        ):
            with pytest.raises(Misfit, match="not a plain overlay"):
                await found.place(filled, mounts)
        (upper / "file").touch()
        with pytest.raises(Misfit, match="not an empty folder"):
            await found.place(filled, overlay(upper))
        (upper / "file").unlink()
        with pytest.raises(Misfit):
            await found.place(filled.parent / "missing", overlay(upper))


async def test_a_folder_is_made_once(folder: Path) -> None:
    async with made(bound(folder)) as found:
        assert found is not None
        await found.folder(CHAIN)
        with pytest.raises(Misfit):
            await found.folder(CHAIN)
