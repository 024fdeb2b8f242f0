"""The shared volumes of this host: what there is, who uses it, what an operator does with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.doors import requests
from agent.doors.errors import InvalidParameter, ResourceInUse, ServerFailure
from agent.doors.requests import read
from agent.host.provisions import ProvisionUnavailable
from agent.host.volumes import mountpoints
from agent.host.volumes.errors import NoSuchVolume, VolumeError
from agent.host.volumes.shared import SharedVolume
from agent.host.volumes.sharing import Sharing, VolumeExists, VolumeInUse
from agent.task.definition import local_option_problems

log = logging.getLogger(__name__)

Json = dict[str, Any]


async def list_volumes(sharing: Sharing, body: Json) -> Json:
    """Every shared volume."""
    read(requests.ListVolumes, body)
    return {"volumes": await asyncio.to_thread(_all, sharing)}


async def inspect_volume(sharing: Sharing, body: Json) -> Json:
    """All about one."""
    name = read(requests.NamedVolume, body).name
    for each in await asyncio.to_thread(_all, sharing):
        if each["name"] == name:
            return {"volume": each}
    raise InvalidParameter(f"there is no shared volume {name}")


async def create_volume(sharing: Sharing, body: Json) -> Json:
    """A new one, empty; its file system is mounted when a task uses it."""
    asked = read(requests.CreateVolume, body)
    problems = "; ".join(map(str, local_option_problems(asked.driver_opts)))
    if problems:
        raise InvalidParameter(f"driverOpts: {problems}")
    volume = SharedVolume(asked.name, time.time(), asked.driver_opts, asked.labels)
    try:
        await sharing.create(volume)
    except VolumeExists:
        raise InvalidParameter(f"there is a shared volume {asked.name} already") from None
    except (VolumeError, ProvisionUnavailable, OSError) as error:
        raise ServerFailure(f"volume {asked.name}: {error}") from error
    log.info("created volume %s: somebody asked for that", asked.name)
    return await inspect_volume(sharing, {"name": asked.name})


async def remove_volume(sharing: Sharing, body: Json) -> Json:
    """It is gone with its data; what was mounted there keeps its own."""
    name = read(requests.NamedVolume, body).name
    try:
        await sharing.remove(name)
    except VolumeInUse as error:
        raise ResourceInUse(
            f"volume {name} is in use by {_listed(error.tasks)}: stop it, and remove the volume "
            "after that"
        ) from error
    except NoSuchVolume:
        raise InvalidParameter(f"there is no shared volume {name}") from None
    except (ProvisionUnavailable, OSError) as error:
        raise ServerFailure(f"volume {name}: {error}") from error
    log.info("removed volume %s: somebody asked for that", name)
    return {"removed": name}


CALLS: Mapping[str, Callable[[Sharing, Json], Awaitable[Json]]] = {
    "ListVolumes": list_volumes,
    "InspectVolume": inspect_volume,
    "CreateVolume": create_volume,
    "RemoveVolume": remove_volume,
}
"""The calls of volumes, by name."""


def _all(sharing: Sharing) -> list[Json]:
    there = frozenset(mountpoints.mounted())
    return [
        {
            "name": name,
            **_facts(volume),
            "mountpoint": str(sharing.path(name)),
            "mounted": mountpoints.real(sharing.path(name)) in there,
            "tasks": list(tasks),
        }
        for name, (volume, tasks) in sharing.all().items()
    ]


def _facts(volume: SharedVolume | None) -> Json:
    if volume is None:
        return {"problem": "its record volume.json can't be read"}
    at = datetime.fromtimestamp(int(volume.created_at), UTC)
    return {
        "driver": volume.driver,
        "driverOpts": dict(volume.options),
        "labels": dict(volume.labels),
        "createdAt": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _listed(tasks: tuple[str, ...]) -> str:
    more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
    return f"task {tasks[0]}{more}"
