"""What an event costs does not depend on how many tasks there are: calls are counted, not time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import looptime
import pytest

import agent
from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet, show
from agent.task import names
from agent.task.model import Intent, Task, first_progress
from agent.task.stopping import Rules
from tests.fakes.host import FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

SIZES = (10, 50, 200)


def tasks(number: int) -> list[Task]:
    return [task(container("web"), task_id=f"{each:032x}") for each in range(1, number + 1)]


def calls(work: Callable[[], object]) -> int:
    """How many functions the agent calls meanwhile; the event loop keeps its timers in a heap."""
    count = 0
    own = str(Path(agent.__file__).parent)

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call") and frame.f_code.co_filename.startswith(own)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def of_an_event(number: int) -> int:
    """From an exit that containerd tells of to the task waiting for the next: all that is called.

    Every task runs, and somebody has asked for the next change of each.
    """
    made = tasks(number)
    loop = looptime.new_event_loop()
    try:
        feed, store = Feed(), MemoryStore(*made)
        show(store, feed)
        hosts = FakeHosts()
        fleet = Fleet(hosts, store, feed, loop.time, Rules())
        running = loop.create_task(fleet.run(1000.0))
        loop.run_until_complete(asyncio.sleep(30))
        assert all(hosts.runs(each) for each in made)
        seen = len(hosts.looks)

        def event() -> None:
            fleet.ring(names.container_id(made[0].id, "web"))
            loop.run_until_complete(asyncio.sleep(1))

        event()
        assert hosts.looks[seen:] == [made[0].id], "nobody else has a look"
        counted = calls(event)
        running.cancel()
        loop.run_until_complete(asyncio.gather(running, return_exceptions=True))
        return counted
    finally:
        loop.close()


def of_a_change(number: int) -> int:
    """Publishing what became of one task."""
    made, feed = tasks(number), Feed()
    for each in made:
        feed.publish(Picture(Intent(each), first_progress(each)))
    changed = Picture(Intent(made[0]), first_progress(made[0]).having("web", started_at=1.0))
    return calls(lambda: feed.publish(changed))


@pytest.mark.parametrize("cost", [of_an_event, of_a_change], ids=lambda each: each.__name__)
def test_an_event_costs_the_same_among_few_tasks_and_among_many(
    cost: Callable[[int], int],
) -> None:
    few, some, many = map(cost, SIZES)
    assert few > 0
    assert few == some == many


def test_what_is_counted_would_show_a_walk_over_all_tasks() -> None:
    few, many = (Feed() for _ in range(2))
    for each in tasks(50):
        many.publish(Picture(Intent(each), first_progress(each)))
    assert calls(lambda: [each.intent.task.awsvpc for each in many]) >= 50
    assert calls(lambda: [each.intent.task.awsvpc for each in few]) < 10
