"""A notice that the host goes away, and a store that can't be written at first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import looptime
import pytest

from agent.engine.feed import Feed
from agent.engine.fleet import Fleet, show
from agent.engine.store import StoreError
from agent.interruption import Interruption
from agent.settings import Settings
from agent.task.model import StopCode
from agent.task.stopping import Rules
from tests.fakes.host import FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

WEB = task(container("web"))


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


class FullStore(MemoryStore):
    """Its disk is full for the first writes."""

    refusals = 2

    async def _write(self, change: object) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("the disk is full")
        return await super()._write(change)


def test_all_tasks_are_told_to_stop_as_soon_as_that_can_be_kept(
    simulated: asyncio.AbstractEventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        store, feed, hosts = FullStore(WEB), Feed(), FakeHosts()
        show(store, feed)
        fleet = Fleet(hosts, store, feed, asyncio.get_running_loop().time, Rules())
        notice = tmp_path / "notice"
        notice.touch()
        given = replace(Settings(), spot_notice=notice)
        ((name, work),) = Interruption(given, store, fleet, feed).background()
        assert name == "spot"
        async with asyncio.TaskGroup() as group:
            group.create_task(work)
            await asyncio.sleep(60)  # far beyond two polls: the file is read in a real thread
            assert store.notes.draining
            run = group.create_task(fleet.run(1000.0))
            await asyncio.sleep(5)
            run.cancel()
        stop = store.progress(WEB.id).stop
        assert stop is not None
        assert (stop.code, stop.reason) == (StopCode.SPOT, "Your Spot Task was interrupted.")

    simulated.run_until_complete(scenario())
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "can't stop all tasks: the disk is full; it will be tried again"
    ] * 2


def test_where_nobody_gives_notice_nothing_runs() -> None:
    store, feed = MemoryStore(), Feed()
    fleet = Fleet(FakeHosts(), store, feed, lambda: 0.0, Rules())
    assert list(Interruption(Settings(), store, fleet, feed).background()) == []
