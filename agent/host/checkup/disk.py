"""Room on the disks: for the state, for what runs, and for images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.subject import Subject

CHECK = "disk"

_NOTHING = 16 * 1024**2
"""Bytes that one burst of log lines fills."""

_LITTLE = 1024**3
"""Bytes of an image of ordinary size, unpacked."""

_FEW, _NONE = 0.05, 0.01
"""Shares of inodes."""

Measure = Callable[[Path], os.statvfs_result]


def check(subject: Subject, measure: Measure = os.statvfs) -> Iterator[Outcome]:
    """Raises OSError."""
    yield from _look(subject, _own(subject), set(), measure)


def check_images(subject: Subject, root: Path, measure: Measure = os.statvfs) -> Iterator[Outcome]:
    """The same for where containerd has its images, unless ``check`` has told of that already."""
    told = {_device(subject, each) for each in _own(subject).values()}
    yield from _look(subject, {"images": root}, told, measure)


def _own(subject: Subject) -> Mapping[str, Path]:
    return {"state": subject.settings.state_dir, "run files": subject.settings.run_dir}


def _look(
    subject: Subject, places: Mapping[str, Path], seen: set[int], measure: Measure
) -> Iterator[Outcome]:
    """What is to be said of the file systems of these places, by what they hold."""
    for holds, place in places.items():
        there = _existing(subject.path(place))
        device = _device(subject, place)
        if device not in seen:
            seen.add(device)
            yield from _room(subject, holds, place, measure(there))


def _room(subject: Subject, holds: str, place: Path, found: os.statvfs_result) -> Iterator[Outcome]:
    where = f"the file system of {place} ({holds})"
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    used = 100 - 100 * free // size if size else 0
    if found.f_flag & os.ST_RDONLY:
        cure = f"see 'dmesg' for why, then 'mount -o remount,rw {place}'"
        yield Finding(CHECK, f"{where} is read-only: nothing can be kept", cure)
    elif free < _NOTHING:
        what = f"{where} is all but full: {_mib(free)} of {_mib(size)} are left"
        why = "once it is, new tasks are refused and log lines dropped"
        yield Finding(CHECK, f"{what}; {why}", _cure(place))
    elif free < _LITTLE and used > subject.settings.image_disk_high:
        what = f"{where} is {used} % full: {_mib(free)} of {_mib(size)} are left"
        yield warning(CHECK, what, _cure(place))
    else:
        yield Fact(CHECK, f"{where} has {_mib(free)} of {_mib(size)} left")
    yield from _inodes(where, place, found)


def _inodes(where: str, place: Path, found: os.statvfs_result) -> Iterator[Outcome]:
    """Some file systems have as many as they need and say that they have none."""
    if found.f_files == 0:
        return
    share = found.f_favail / found.f_files
    what = f"{where} has {found.f_favail} of {found.f_files} inodes left"
    cure = f"remove small files: 'du --inodes -x {place} | sort -n | tail' finds where they are"
    if share < _NONE:
        yield Finding(CHECK, what, cure)
    elif share < _FEW:
        yield warning(CHECK, what, cure)
    else:
        yield Fact(CHECK, what)


def _cure(place: Path) -> str:
    return (
        f"'du -x -d2 {place} | sort -n | tail' finds what is large; 'hostler image prune' removes"
        " images that no task needs, HOSTLER_IMAGE_DISK_HIGH is when the agent does it by itself"
    )


def _device(subject: Subject, place: Path) -> int:
    return _existing(subject.path(place)).stat().st_dev


def _existing(path: Path) -> Path:
    """The path, or what of it is there already."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
