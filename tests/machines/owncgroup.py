"""A cgroup in every hierarchy for a machine in a container, so that it leaves the host's alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EMPTY_S = 20.0

_TREES = Path("/sys/fs/cgroup")


def unified() -> bool:
    """Whether this host has cgroups of version 2 alone."""
    return (_TREES / "cgroup.controllers").exists()


@contextmanager
def cgroups(name: str) -> Iterator[list[Path]]:
    """A cgroup of that name in every hierarchy; in the end they are gone with all below them."""
    trees = [_TREES] if unified() else sorted(_TREES.iterdir())
    made = [each / name for each in trees]
    try:
        for each in made:
            each.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (each / file).exists() and not unified():
                    (each / file).write_text((each.parent / file).read_text())
        yield made
    finally:
        for each in made:
            _remove(each)


def _remove(cgroup: Path) -> None:
    """It is gone as soon as its last processes are."""
    deadline = time.monotonic() + EMPTY_S
    while cgroup.exists():
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        assert time.monotonic() < deadline, f"{cgroup} has processes"
