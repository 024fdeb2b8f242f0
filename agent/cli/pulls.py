"""Pulls on the screen: bars on a terminal, lines elsewhere.

Both are shown the ``pulls`` of WatchTask (and whatever else answers in that form) again and again:
``[{"image": ..., "layers": [{"digest": ..., "size": ..., "done": ..., "state": ...}]}]``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from agent.task.units import short, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Shown = Sequence[dict[str, Any]]
"""Pulls as the API shows them."""

HERE = "already here"
UNDER_WAY = frozenset({"downloading", "downloaded", "unpacking"})
COME = frozenset({"downloaded", "unpacking", "done"})
"""States of layers, as ``host.images.pulls.LayerState`` has them."""

TOTALS_S = 1.0
"""Shortest time between two lines about the same."""


class Drawing(Protocol):
    """Pulls as they are drawn."""

    def show(self, pulls: Shown) -> None:
        """These are under way now; those shown before that are not among them have ended."""

    def told(self, digest: str) -> bool:
        """Whether a line has said already that a layer with a digest that begins so has come."""

    def close(self) -> None:
        """Nothing of it stays on the screen but lines."""


def drawing(indent: int = 0) -> Drawing:
    """For standard output, whatever that is; lines begin with so many spaces."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Bars()
    return Lines(indent)


class Bars:
    """A bar for each layer that is under way and one for each image, gone when it is here.

    Lines that are printed meanwhile appear above them.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._bars: dict[tuple[str, str], TaskID] = {}

    def show(self, pulls: Shown) -> None:
        if not pulls:
            self.close()
            return
        progress = self._progress or _progress()
        if self._progress is None:
            progress.start()
            self._progress = progress
        wanted = {key: bar for pull in pulls for key, bar in _bars(pull)}
        for key in self._bars.keys() - wanted.keys():
            progress.remove_task(self._bars.pop(key))
        for key, (text, done, total) in wanted.items():
            if key in self._bars:
                progress.update(self._bars[key], description=text, completed=done, total=total)
            else:
                self._bars[key] = progress.add_task(text, completed=done, total=total)
        progress.refresh()

    def told(self, digest: str) -> bool:
        return False

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
        self._bars.clear()


class Lines:
    """A line for each layer that has come; totals once a second at most."""

    def __init__(self, indent: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._indent = " " * indent
        self._clock = clock
        self._come: set[str] = set()
        self._said_at: dict[str, float] = {}

    def show(self, pulls: Shown) -> None:
        for pull in pulls:
            image, layers = pull["image"], pull["layers"]
            said_at = self._said_at.setdefault(image, self._clock())
            for layer in layers:
                if layer["state"] in COME and layer["digest"] not in self._come:
                    self._come.add(layer["digest"])
                    self._say(f"layer {short(layer['digest'])} {size(layer['size'])}")
            if layers and self._clock() >= said_at + TOTALS_S:
                self._said_at[image] = self._clock()
                self._say(f"{image}: {totals(pull)}")

    def told(self, digest: str) -> bool:
        return any(short(each).startswith(digest) for each in self._come)

    def close(self) -> None:
        """Lines stay."""

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{self._indent}{line}\n")
        sys.stdout.flush()


def totals(pull: dict[str, Any]) -> str:
    """How far a pull has come: ``3 of 10 layers, 12.3 MB of 45 MB``, counting what was here."""
    done, total = _sum(pull)
    there = [each for each in pull["layers"] if each["state"] in ("done", HERE)]
    return f"{len(there)} of {len(pull['layers'])} layers, {size(done)} of {size(total)}"


def _sum(pull: dict[str, Any]) -> tuple[int, int]:
    """Bytes that are here, and bytes in all."""
    done = sum(each["size" if each["state"] == HERE else "done"] for each in pull["layers"])
    return done, sum(each["size"] for each in pull["layers"])


def _bars(pull: dict[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[str, int, int | None]]]:
    """By image and layer: text, bytes done, and bytes in all if they are known."""
    image = pull["image"]
    done, total = _sum(pull)
    yield (image, ""), (image, done, total if pull["layers"] else None)
    for each in pull["layers"]:
        if each["state"] in UNDER_WAY:
            text = f"  {short(each['digest'])} {each['state']}"
            yield (image, each["digest"]), (text, each["done"], each["size"])


def _progress() -> Progress:
    """Drawn when it is told to: there is no thread that draws meanwhile.

    Rich takes its time to load, and most pulls are over before it would have.
    """
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        auto_refresh=False,
        transient=True,
    )
