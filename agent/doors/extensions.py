"""Hostler's own calls beside ECS's: what its command line needs and ECS has no call for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Protocol

from agent import VERSION
from agent.doors import networks, pulls, requests, shapes, volumes
from agent.doors.desk import Body, Desk, find_task
from agent.doors.errors import InvalidParameter, ServerFailure
from agent.doors.images import calls
from agent.doors.images.room import ImageRoom
from agent.doors.requests import read
from agent.engine.feed import Picture
from agent.host.checkup.doctor import Alive
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.host.logrouter import LogRouterError
from agent.host.network.networks import Networks
from agent.host.volumes.sharing import Sharing
from agent.logs import reader
from agent.task import names
from agent.task.names import Names
from cni.errors import CNIError

LIVE_S = 0.25
"""How old what is shown of a pull may be."""


class Healer(Protocol):
    """Who looks what is wrong with the host (``host.checkup.doctor.Doctor``)."""

    async def find(self, alive: Alive) -> list[Outcome]:
        """Everything that is wrong, is in order, or can't be seen."""

    async def mend(self, alive: Alive) -> list[str]:
        """What can be mended is; tells what was done.

        Raises CNIError, OSError, InterfaceError, InterfacesExhausted, ContainerdError,
        LogRouterError.
        """


@dataclass(frozen=True, slots=True)
class Office:
    """What these calls work with beside the desk."""

    names: Names
    images: ImageRoom
    networks: Networks
    doctor: Healer
    volumes: Sharing


Call = Callable[[Desk, Office, Body], Awaitable[Body]]


async def watch_task(desk: Desk, office: Office, body: Body) -> Body:
    """The steps of a task's timeline after ``since``; waits for more while there are none.

    ``closed`` says that nothing of the task is left on the host, so that no more will come.
    ``waitsFor`` is what the task still lacks of its share of the host. ``pulls`` are those that
    containers of the task wait for; while there are any the answer comes soon.
    """
    asked = read(requests.WatchTask, body)
    picture = find_task(desk, asked.task)
    task_id = picture.intent.task.id
    live = pulls.under_way(picture.progress)
    wait_s = min(asked.wait_seconds, LIVE_S) if live else asked.wait_seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not _has_news(picture, asked.since):
                await desk.feed.change(task_id)
                picture = desk.feed.pictures.get(task_id, picture)
    task = picture.intent.task
    return {
        "task": shapes.task(picture, tags=True),
        "steps": [asdict(each) for each in picture.progress.timeline[asked.since :]],
        "closed": picture.progress.closed,
        "runtimes": dict(task.runtimes),
        "cgroup": office.names.task_cgroup(task).path,
        "waitsFor": desk.fleet.queue.shortage(task.id),
        "pulls": pulls.shown(office.images.pulls.of(*pulls.awaited(task, picture.progress))),
    }


async def describe_queue(desk: Desk, office: Office, body: Body) -> Body:
    """The tasks that wait for their share of the host, oldest first, and what they wait for."""
    read(requests.DescribeQueue, body)
    waiting = desk.fleet.queue.waiting
    return {
        "waiting": [
            {"taskArn": desk.store.intents[each].task.arn, "waitsFor": why}
            for each, why in waiting.items()
            if each in desk.store.intents
        ]
    }


async def get_logs(desk: Desk, office: Office, body: Body) -> Body:
    """Lines of a container's log, and the ``cursor`` to go on from."""
    asked = read(requests.GetLogs, body)
    task = find_task(desk, asked.task).intent.task
    if asked.container not in {each.name for each in task.containers}:
        raise InvalidParameter(f"task {task.id} has no container {asked.container!r}")
    path = office.names.log(task.id, asked.container)
    entries, cursor = await asyncio.to_thread(
        reader.read,
        path,
        since=asked.since_time,
        tail=asked.tail,
        cursor=_cursor(asked.cursor),
    )
    return {
        "entries": [asdict(each) for each in entries],
        "cursor": f"{cursor.inode}:{cursor.offset}" if cursor else "",
    }


async def describe_networks(desk: Desk, office: Office, body: Body) -> Body:
    """The networks of this host's tasks, and who is attached to them how."""
    read(requests.DescribeNetworks, body)
    return networks.describe(desk.settings, office.networks, desk.feed)


async def diagnose(desk: Desk, office: Office, body: Body) -> Body:
    """What is wrong with this host; with ``fix`` what can be mended is.

    ``facts`` are what was found to need nothing, ``unseen`` what could not be looked at.
    """
    asked = read(requests.Diagnose, body)
    alive = _alive(desk)
    try:
        fixed = await office.doctor.mend(alive) if asked.fix else []
        found = await office.doctor.find(alive)
    except (CNIError, InterfaceError, InterfacesExhausted, LogRouterError) as error:
        raise ServerFailure(str(error)) from error
    return {
        "findings": [asdict(each) for each in found if isinstance(each, Finding)],
        "facts": [asdict(each) for each in found if isinstance(each, Fact)],
        "unseen": [asdict(each) for each in found if isinstance(each, Unseen)],
        "fixed": fixed,
        "version": VERSION,
    }


def _of_images(call: Callable[[ImageRoom, Body], Awaitable[Body]]) -> Call:
    async def called(desk: Desk, office: Office, body: Body) -> Body:
        return await call(office.images, body)

    return called


def _of_volumes(call: Callable[[Sharing, Body], Awaitable[Body]]) -> Call:
    async def called(desk: Desk, office: Office, body: Body) -> Body:
        return await call(office.volumes, body)

    return called


CALLS: Mapping[str, Call] = {
    "WatchTask": watch_task,
    "GetLogs": get_logs,
    "DescribeQueue": describe_queue,
    "DescribeNetworks": describe_networks,
    "Diagnose": diagnose,
    **{name: _of_images(call) for name, call in calls.CALLS.items()},
    **{name: _of_volumes(call) for name, call in volumes.CALLS.items()},
}
"""Hostler's calls, by name."""


def _alive(desk: Desk) -> Alive:
    tasks = [desk.store.intents[each].task for each in desk.store.open_tasks]
    sandboxes = [names.container_id(task.id, each) for task in tasks for each in task.sandboxes]
    return Alive(desk.store.open_tasks, sandboxes, tuple(desk.store.intents))


def _cursor(text: str) -> reader.Cursor | None:
    inode, _, offset = text.partition(":")
    return reader.Cursor(int(inode), int(offset)) if text else None


def _has_news(picture: Picture, since: int) -> bool:
    return len(picture.progress.timeline) > since or picture.progress.closed
