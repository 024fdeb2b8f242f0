"""The feed: what is shown, and who is woken by what."""

from __future__ import annotations

import asyncio

import pytest

from agent.engine.feed import Feed, Picture
from agent.task.model import Intent, StopRequest, TaskId, first_progress
from tests.worlds import container, task

MADE = task(container("web"))
FRESH = Picture(Intent(MADE), first_progress(MADE))
ASKED = Picture(Intent(MADE, StopRequest(1.0, "asked")), first_progress(MADE))


async def test_the_last_picture_is_shown_until_it_is_forgotten() -> None:
    feed = Feed()
    feed.publish(FRESH)
    feed.publish(ASKED)
    assert feed.pictures == {MADE.id: ASKED}
    assert list(feed) == [ASKED]
    feed.forget(MADE.id)
    assert feed.pictures == {}


async def test_an_equal_picture_changes_nothing_not_even_the_object() -> None:
    feed = Feed()
    feed.publish(FRESH)
    feed.publish(Picture(Intent(MADE), first_progress(MADE)))
    assert feed.pictures[MADE.id] is FRESH


@pytest.mark.parametrize("change", ["publish", "forget"])
async def test_a_change_wakes_everybody_who_waits_for_the_task(change: str) -> None:
    feed = Feed()
    feed.publish(FRESH)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(feed.change(MADE.id))
        await asyncio.sleep(0)
        if change == "publish":
            feed.publish(ASKED)
        else:
            feed.forget(MADE.id)


async def test_an_equal_picture_and_other_tasks_wake_nobody() -> None:
    feed = Feed()
    feed.publish(FRESH)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(feed.change(MADE.id))
        await asyncio.sleep(0)
        other = task(container("web"), task_id="f" * 32)
        feed.publish(Picture(Intent(MADE), first_progress(MADE)))
        feed.publish(Picture(Intent(other), first_progress(other)))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_a_change_of_any_task_is_beyond_the_version_before_it() -> None:
    feed = Feed()
    before = feed.version
    feed.publish(FRESH)
    async with asyncio.timeout(5):
        await feed.beyond(before)  # a change that nobody waited for is not lost
        before = feed.version
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(feed.beyond(before)) for _ in range(2)]
            feed.publish(Picture(Intent(MADE), first_progress(MADE)))
            await asyncio.sleep(0)
            assert feed.version == before, "an equal picture is no change"
            assert not any(each.done() for each in waiting)
            feed.forget(MADE.id)
    assert feed.version > before


async def test_a_task_may_be_forgotten_while_the_feed_is_gone_through() -> None:
    feed = Feed()
    feed.publish(FRESH)
    for each in feed:
        feed.forget(each.intent.task.id)
    feed.forget(TaskId("unknown"))
    assert not feed.pictures
