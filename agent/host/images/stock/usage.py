"""Which tasks refer to which images, and the record of when the last of them ceased to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.host.images.records import USED_AT
from agent.host.images.stock.retention import Needed
from agent.registry import reference
from agent.task.model import Progress, Task, TaskId


def needed(tasks: Iterable[tuple[Task, Progress]]) -> Needed:
    """What these tasks refer to: by rights all those that are not forgotten."""
    found: dict[str, set[TaskId]] = {}
    for task, progress in tasks:
        for each in _references(task, progress):
            found.setdefault(each, set()).add(task.id)
    return {name: frozenset(ids) for name, ids in found.items()}


async def note_end(client: Containerd, task: Task, progress: Progress, now: float) -> None:
    """The images of a task that is being forgotten were in use until ``now``.

    Raises ContainerdError.
    """
    ended = set(_references(task, progress))
    for record in await client.images.list():
        if record.name in ended or record.target.digest in ended:
            with suppress(NotFound):  # removed meanwhile
                await client.images.set_labels(record.name, {USED_AT: f"{now:.3f}"})


def _references(task: Task, progress: Progress) -> Iterator[str]:
    """Names, and digests and ids of images."""
    for each in task.definition.container_definitions:
        with suppress(reference.InvalidReference):  # then it never had an image
            named = reference.parse(each.image)
            yield from (str(named), named.digest or str(named))
        facts = progress.containers[each.name]
        if facts.pin is not None:
            yield facts.pin.digest
        if facts.image is not None:
            yield from (facts.image.name, facts.image.digest, facts.image.id)
