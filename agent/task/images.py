"""Which version of its image a container gets, and what is told of how it came.

All containers of a task that name their image in the same words get the same version of it, however
often the tag moves meanwhile and whenever they start (``versionConsistency``). Who has an image has
settled which; before that, who was first to learn a digest leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agent.task.model import ContainerProgress, Image, Progress, Task
from agent.task.records import REASON_LIMIT, Pin, Step
from agent.task.units import short, size

MOST_LAYERS = 10
"""Layers of an image with a step of their own. An image may have more than a timeline has room."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that was transferred: ``size`` bytes, and when (epoch seconds)."""

    digest: str
    size: int
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Obtained:
    """An image that is on this host now.

    ``pulled``: its registry was asked for it, whether or not anything had to be transferred; else
    the one that was here is used, and ``note`` says why if that is not what was intended;
    ``failure`` is then the error under its ECS name, as it would have ended the container.
    """

    image: Image
    pulled: bool = False
    note: str = ""
    failure: str = ""
    layers: tuple[Layer, ...] = ()


def version(task: Task, progress: Progress, name: str) -> str:
    """Digest of the version that the container must get, as far as anything says; else empty."""
    own = progress.containers[name].pin
    leading = settled(task, progress, name)
    return leading or (own.digest if own else agreed(task, progress, name))


def settled(task: Task, progress: Progress, name: str) -> str:
    """Digest of the image that others have which must have the same as ``name``; else empty."""
    had = (each.image for each in _equals(task, progress, name))
    return next((image.digest for image in had if image is not None), "")


def agreed(task: Task, progress: Progress, name: str) -> str:
    """The same where others don't have it yet, but know which they get."""
    pins = (each.pin for each in _equals(task, progress, name))
    first = next((pin.digest for pin in pins if pin is not None), "")
    return settled(task, progress, name) or first


def pinned(task: Task, progress: Progress, name: str, pin: Pin, at: float) -> Progress:
    """The container's image is known by its digest, and its pull begins."""
    leading = agreed(task, progress, name)
    if leading not in ("", pin.digest):
        pin = Pin(leading)
    progress = progress.having(name, pin=pin)
    if progress.pull_started_at is None:
        progress = replace(progress, pull_started_at=at)
    detail = f"{task.container(name).image} {short(pin.digest)}"
    return progress.noting(Step(at, "pulling", name, detail=detail))


def obtained(
    task: Task, progress: Progress, name: str, gave: Obtained, began_at: float, at: float
) -> Progress:
    """The container's image is here; unless others have another version by now.

    A failure that was got round stays the container's reason, as with ECS, unless a later one ends
    it; a pull that had begun has ended with it.
    """
    leading = settled(task, progress, name)
    if leading not in ("", gave.image.digest):
        return progress.having(name, pin=Pin(leading))
    if gave.pulled:
        began = progress.pull_started_at
        began = began_at if began is None else began
        progress = replace(progress, pull_started_at=began, pull_stopped_at=at)
    if gave.note:
        progress = _got_round(progress, name, gave, at)
    for step in _layer_steps(gave.layers, name):
        progress = progress.noting(step)
    step = Step(at, "image", name, took_s=at - began_at, detail=gave.image.name)
    return progress.having(name, image=gave.image).noting(step)


def _got_round(progress: Progress, name: str, gave: Obtained, at: float) -> Progress:
    if progress.containers[name].pin is not None and progress.pull_started_at is not None:
        progress = replace(progress, pull_stopped_at=at)
    progress = progress.having(name, reason=gave.failure[:REASON_LIMIT])
    return progress.noting(Step(at, "fallback", name, detail=gave.note))


def _equals(task: Task, progress: Progress, name: str) -> Iterator[ContainerProgress]:
    """The other containers that must have the same version of their image, by their definitions."""
    own = task.container(name)
    for each in task.definition.container_definitions:
        both = {own.version_consistency, each.version_consistency}
        if each.name != name and each.image == own.image and both == {"enabled"}:
            yield progress.containers[each.name]


def _layer_steps(layers: Iterable[Layer], name: str) -> Iterator[Step]:
    """One for each of the largest, in the order they came, and one for the rest."""
    largest = sorted(layers, key=lambda each: each.size, reverse=True)
    for each in sorted(largest[:MOST_LAYERS], key=lambda each: each.ended_at):
        took_s, detail = each.ended_at - each.began_at, f"{short(each.digest)} {size(each.size)}"
        yield Step(each.ended_at, "layer", name, took_s, detail)
    rest = largest[MOST_LAYERS:]
    if rest:
        detail = f"{len(rest)} smaller ones {size(sum(each.size for each in rest))}"
        yield Step(max(each.ended_at for each in rest), "layers", name, detail=detail)
