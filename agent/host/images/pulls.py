"""How far pulls have come, layer by layer: written by them, read by whoever shows it to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum


class LayerState(StrEnum):
    """What is happening to a layer."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UNPACKING = "unpacking"
    DONE = "done"
    HERE = "already here"


@dataclass(slots=True)
class LayerProgress:
    """One layer: ``done`` of ``size`` bytes have come. Times are epoch seconds."""

    digest: str
    size: int
    state: LayerState = LayerState.WAITING
    done: int = 0
    began_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class Pull:
    """One image on its way: its layers in order, none before its manifest has come."""

    image: str
    layers: list[LayerProgress] = field(default_factory=list)


class Pulls:
    """All pulls that are under way. An image that several wait for is there once for each."""

    def __init__(self) -> None:
        self._running: list[Pull] = []

    @contextmanager
    def begin(self, image: str) -> Iterator[Pull]:
        """The pull of an image (canonical name) is shown until left."""
        pull = Pull(image)
        self._running.append(pull)
        try:
            yield pull
        finally:
            self._running = [each for each in self._running if each is not pull]

    def of(self, *images: str) -> tuple[Pull, ...]:
        """The pulls of these images, each image once."""
        found = {each.image: each for each in self._running if each.image in images}
        return tuple(found.values())
