"""Room on disks, as measured by whoever is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.host.checkup import disk
from agent.host.checkup.outcomes import Outcome
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings

GIB = 1024**3


def measured(**given: int) -> os.statvfs_result:
    """10 of 100 GiB are left and most inodes, but for what is ``given`` in bytes or inodes."""
    sizes = {"free": 10 * GIB, "size": 100 * GIB, "inodes": 1000, "left": 900, "flags": 0, **given}
    blocks = [sizes["size"] // 4096, sizes["free"] // 4096, sizes["free"] // 4096]
    inodes = [sizes["inodes"], sizes["left"], sizes["left"]]
    return os.statvfs_result((4096, 4096, *blocks, *inodes, sizes["flags"], 255))


def looked(host: Host, **given: int) -> list[Outcome]:
    asked: list[Path] = []

    def measure(path: Path) -> os.statvfs_result:
        asked.append(path)
        return measured(**given)

    outcomes = list(disk.check(host.subject, measure))
    assert len(asked) == 1, "one file system is measured once"
    return outcomes


def test_room_enough(host: Host) -> None:
    outcomes = looked(host)
    assert findings(outcomes) == []
    assert facts(outcomes) == [
        "the file system of /var/lib/hostler (state) has 10240 MiB of 102400 MiB left",
        "the file system of /var/lib/hostler (state) has 900 of 1000 inodes left",
    ]


@pytest.mark.parametrize(
    ("given", "light", "said"),
    [
        (
            {"free": 15 * 1024**2},
            False,
            "is all but full: 15 MiB of 102400 MiB are left; once it is, new tasks are",
        ),
        ({"free": GIB // 2}, True, "is 100 % full: 512 MiB of 102400 MiB are left"),
        ({"flags": os.ST_RDONLY}, False, "is read-only: nothing can be kept"),
        ({"left": 40}, True, "has 40 of 1000 inodes left"),
        ({"left": 9}, False, "has 9 of 1000 inodes left"),
    ],
)
def test_room_that_is_short(host: Host, given: dict[str, Any], light: bool, said: str) -> None:
    outcomes = looked(host, **given)
    told = warnings(outcomes) if light else errors(outcomes)
    assert [said in each for each in told] == [True]
    assert cure(outcomes)


def test_a_small_disk_with_room_is_no_trouble(host: Host) -> None:
    assert findings(looked(host, size=GIB, free=GIB // 2)) == []


def test_a_file_system_without_inodes_has_enough(host: Host) -> None:
    assert findings(looked(host, inodes=0, left=0)) == []


def test_images_on_the_disk_of_the_state_are_not_told_twice(host: Host) -> None:
    assert list(disk.check_images(host.subject, Path("/var/lib/hostler/containerd"))) == []


def test_images_on_a_disk_of_their_own(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.folder("/var/lib/containerd")
    images = host.root / "var/lib/containerd"
    monkeypatch.setattr(
        disk, "_device", lambda _subject, place: 7 if "containerd" in str(place) else 1
    )

    def measure(path: Path) -> os.statvfs_result:
        assert path == images
        return measured(free=GIB // 2)

    outcomes = list(disk.check_images(host.subject, Path("/var/lib/containerd/snapshots"), measure))
    assert warnings(outcomes) == [
        "the file system of /var/lib/containerd/snapshots (images) is 100 % full:"
        " 512 MiB of 102400 MiB are left"
    ]


def test_the_real_disk(host: Host) -> None:
    assert list(disk.check(host.subject))
