"""Pulls that are under way, as Hostler's own calls show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.host.images.pulls import Pull
from agent.registry import reference
from agent.registry.reference import InvalidReference
from agent.task.model import Progress, Task


def awaited(task: Task, progress: Progress) -> frozenset[str]:
    """Canonical names of the images that containers of the task wait for."""
    names = set()
    for each in task.definition.container_definitions:
        facts = progress.containers[each.name]
        if facts.image is None and not facts.ended:
            try:
                names.add(str(reference.parse(each.image)))
            except InvalidReference:
                continue  # its container ends with what is wrong
    return frozenset(names)


def under_way(progress: Progress) -> bool:
    """Whether a pull for a container of the task has begun and not ended."""
    return any(
        each.pin is not None and each.image is None and not each.ended
        for each in progress.containers.values()
    )


def shown(pulls: Iterable[Pull]) -> list[dict[str, Any]]:
    """Each pull with its layers, in order; none of them before the manifest has come."""
    return [
        {
            "image": pull.image,
            "layers": [
                {
                    "digest": each.digest,
                    "size": each.size,
                    "done": each.done,
                    "state": each.state.value,
                }
                for each in pull.layers
            ],
        }
        for pull in pulls
    ]
