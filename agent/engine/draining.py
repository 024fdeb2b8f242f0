"""Emptying the host when it is about to be taken away and nobody else will do it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import Store
from agent.task import status
from agent.task.daemons import is_daemon
from agent.task.model import StopRequest

DAEMONS_AFTER_S = 60.0
"""Daemon tasks are told then, even though others have not stopped. A spot notice leaves 120 s."""


async def evacuate(
    store: Store, fleet: Fleet, feed: Feed, request: Callable[[], StopRequest]
) -> None:
    """No new task is taken, and every task is told to stop; daemon tasks after the others.

    Protection does not count: it can't save a task from the end of its host. Raises StoreError.
    """
    await store.notes.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(DAEMONS_AFTER_S):
            await _stop_others(fleet, feed, request)
    for each in _told_nothing(feed):
        await fleet.stop(each.intent.task.id, request())


async def _stop_others(fleet: Fleet, feed: Feed, request: Callable[[], StopRequest]) -> None:
    """Also those that were let in just before; returns when they have stopped."""
    while True:
        version = feed.version
        for each in _told_nothing(feed):
            if not _daemon(each):
                await fleet.stop(each.intent.task.id, request())
        if all(each.progress.stopped or _daemon(each) for each in feed):
            return
        await feed.beyond(version)


def _told_nothing(feed: Feed) -> list[Picture]:
    """Those that wait for room come first: they shall not begin when others leave them some."""
    found = (each for each in feed if status.desired(each.intent, each.progress) == "RUNNING")
    return sorted(found, key=lambda each: each.progress.admitted_at is not None)


def _daemon(picture: Picture) -> bool:
    task = picture.intent.task
    return is_daemon(task.group, task.tags)
