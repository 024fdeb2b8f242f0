"""What images there are, and which of them are to go."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from agent.doors import requests
from agent.doors.errors import ResourceInUse, ServerFailure
from agent.doors.images.room import ImageRoom, Json, picked
from agent.doors.requests import read
from agent.host.images.local import ImageMissing
from agent.host.images.stock import retention
from agent.host.images.stock.claims import Claimed
from agent.host.images.stock.retention import Needed, Stored
from agent.oci.image import ImageConfig
from agent.registry import reference
from agent.task.model import TaskId
from agent.task.units import size

log = logging.getLogger(__name__)


async def list_images(room: ImageRoom, body: Json) -> Json:
    """The names of the images on this host; an image may have several."""
    read(requests.ListImages, body)
    images, needed = await room.shelves.images(), room.cleaner.needed()
    listed = [_line(image, name, needed) for image in images for name in image.names]
    return {"images": sorted(listed, key=lambda each: str(each["name"]))}


async def inspect_image(room: ImageRoom, body: Json) -> Json:
    """All about one image."""
    asked = read(requests.NamedImage, body)
    image = picked(await room.shelves.images(), asked.image)
    try:
        contents = await room.shelves.contents(image)
    except ImageMissing as error:
        raise ServerFailure(str(error)) from error
    tasks = image.wanted_by(room.cleaner.needed())
    return {
        "image": {
            "names": list(image.names),
            **_facts(image),
            "platform": _platform(contents.config),
            "layers": [each.document for each in contents.parts.layers],
            "config": _config(contents.config),
            "tasks": sorted(tasks),
        }
    }


async def remove_image(room: ImageRoom, body: Json) -> Json:
    """A name of an image is gone, and the image with its last tag."""
    asked = read(requests.RemoveImage, body)
    facts = await room.cleaner.facts()
    image = picked(facts.images, asked.image)
    tasks = sorted(image.wanted_by(room.cleaner.needed()))
    if tasks and not asked.force:
        raise ResourceInUse(
            f"image {asked.image} is needed by {_listed(tasks)}: a task refers to its images until"
            " it is forgotten, some time after it has stopped"
            " (ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION); use force to remove it all the same"
        )
    names = named_by(image, asked.image)
    try:
        await room.cleaner.remove(image, names)
    except Claimed as error:
        why = f"image {asked.image} is in use by a pull or a load: try again after it"
        raise ResourceInUse(why) from error
    freed = retention.frees(image, facts.images, facts.weights) if names == image.names else 0
    log.info("removed image %s (%s): somebody asked for that", ", ".join(names), size(freed))
    return {"removed": list(names), "freed": freed}


async def prune_images(room: ImageRoom, body: Json) -> Json:
    """What becomes of every image, and why; unless it is a dry run, that has happened."""
    asked = read(requests.PruneImages, body)
    if asked.scheduled:
        decisions = await room.cleaner.due(await room.cleaner.disk())
    else:
        decisions = await room.cleaner.unneeded(asked.older_than_seconds)
    if not asked.dry_run:
        decisions = await room.cleaner.carry_out(decisions)
    return {
        "decisions": [
            {
                "names": list(each.image.names),
                "digest": each.image.digest,
                "size": each.image.size,
                "removed": each.removed,
                "why": each.why,
                "freed": each.frees,
            }
            for each in decisions
        ],
        "freed": sum(each.frees for each in decisions),
    }


def named_by(image: Stored, text: str) -> tuple[str, ...]:
    """The names that go when ``text`` goes: all of them with the last tag, or with the digest."""
    if text.startswith("sha256:"):
        return image.names
    name = str(reference.parse(text))
    if name in image.tags and len(image.tags) == 1:
        return image.names
    return (name,)


CALLS: Mapping[str, Callable[[ImageRoom, Json], Awaitable[Json]]] = {
    "ListImages": list_images,
    "InspectImage": inspect_image,
    "RemoveImage": remove_image,
    "PruneImages": prune_images,
}
"""Hostler's calls about images, by name."""


def _line(image: Stored, name: str, needed: Needed) -> Json:
    return {"name": name, **_facts(image), "tasks": len(image.wanted_by(needed))}


def _facts(image: Stored) -> Json:
    """Times are epoch seconds; null where nobody knows, or where it never happened."""
    return {
        "id": image.id,
        "digest": image.digest,
        "size": image.size,
        "createdAt": image.created_at,
        "pulledAt": image.pulled_at,
        "usedAt": image.used_at,
    }


def _platform(config: ImageConfig) -> str:
    parts = (config.os, config.architecture, config.variant)
    return "/".join(each for each in parts if each)


def _config(config: ImageConfig) -> Json:
    return {
        "env": list(config.env),
        "entrypoint": list(config.entrypoint),
        "cmd": list(config.cmd),
        "user": config.user,
        "workingDir": config.working_dir,
        "labels": config.labels,
        "exposedPorts": list(config.exposed_ports),
        "volumes": list(config.volumes),
        "stopSignal": config.stop_signal,
        "healthCheck": config.health_check,
    }


def _listed(tasks: list[TaskId]) -> str:
    return f"task{'s' if len(tasks) > 1 else ''} {', '.join(tasks)}"
