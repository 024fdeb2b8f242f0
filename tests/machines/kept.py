"""What is costly to make for tests and good for many runs, kept in ``.machines/`` of the checkout.

One process makes it, others that want the same wait. What a maker left half done is never taken.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PLACE = Path(__file__).parents[2] / ".machines"
WAIT_S = 900.0
"""For another to have made it."""
UNUSED_S = 7 * 24 * 3600.0
"""After this long it goes when something new of its kind is made."""


def kept(kind: str, recipe: str, make: Callable[[Path, int], None]) -> Path:
    """The directory that ``make`` fills, of which there is one for each recipe.

    ``make`` is called with the empty directory and the descriptor of a lock, which it passes on to
    the programs that it starts: should it be killed, nobody begins anew before they have ended.
    Raises what ``make`` raises, and TimeoutError.
    """
    path = PLACE / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    PLACE.mkdir(exist_ok=True)
    with _alone(path.with_suffix(".lock")) as lock:
        if not path.exists():
            _drop_unused(kind)
            part = path.with_suffix(".part")
            _remove(part)
            part.mkdir()
            began = time.monotonic()
            _say(f"making {path.name}")
            make(part, lock)
            part.rename(path)
            _say(f"made {path.name} in {time.monotonic() - began:.0f} s")
        path.with_suffix(".lock").touch()
    return path


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """Only one process is in here; the descriptor holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + WAIT_S
    try:
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is locked for more than {WAIT_S:.0f} s: see who by")
            time.sleep(0.2)  # noqa: TID251 - waiting for a lock has no deadline
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _drop_unused(kind: str) -> None:
    """What nobody has wanted for long, and is not being made or waited for."""
    for lock in PLACE.glob(f"{kind}-*.lock"):
        if time.time() - lock.stat().st_mtime > UNUSED_S:
            _remove(lock.with_suffix(""))
            _remove(lock.with_suffix(".part"))
            lock.unlink()


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _say(text: str) -> None:
    sys.stderr.write(f"tests: {text}\n")
