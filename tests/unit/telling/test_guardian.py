"""Task protection as tasks ask for it: what the agent answers, refuses and keeps."""

from __future__ import annotations

from typing import Any

import pytest

from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import StoreError
from agent.task.model import Intent, Protection, StopRequest
from agent.task.stopping import Rules
from agent.telling.guardian import FleetGuardian
from metadata.agentapi.protection import Failed, Protected, Refused, Unprotectable
from metadata.source import Instant
from tests.fakes.host import FakeHosts
from tests.fakes.store import MemoryStore
from tests.worlds import container, running, task

WEB = task(container("web"))
NOW = 1000.0


class FullDisk(MemoryStore):
    async def _write(self, change: object) -> Any:
        raise StoreError("can't write: the disk is full")


class World:
    """A guardian over a task that runs, with a clock to set."""

    def __init__(self, store: MemoryStore | None = None, *, stop: bool = False) -> None:
        self.now = NOW
        self.store = store or MemoryStore(WEB)
        feed, hosts = Feed(), FakeHosts()
        intent = Intent(WEB, StopRequest(1.0, "asked") if stop else None)
        feed.publish(Picture(intent, running(intent)))
        fleet = Fleet(hosts, self.store, feed, lambda: self.now, Rules())
        self.guardian = FleetGuardian(fleet, feed, lambda: self.now)


def after(seconds: float) -> Protected:
    return Protected(Instant(int((NOW + seconds) * 1e9)))


async def test_a_protection_holds_until_its_time_or_until_it_is_lifted() -> None:
    world = World()
    assert await world.guardian.protection(WEB.arn) == Protected(None)
    assert await world.guardian.protect(WEB.arn, None) == after(7200)
    assert await world.guardian.protect(WEB.arn, 5) == after(300)
    assert world.store.intents[WEB.id].protection == Protection(NOW + 300)
    world.now = NOW + 299
    assert await world.guardian.protection(WEB.arn) == after(300)
    world.now = NOW + 300
    assert await world.guardian.protection(WEB.arn) == Protected(None)
    assert isinstance(await world.guardian.protect(WEB.arn, 1), Protected)
    assert await world.guardian.unprotect(WEB.arn) == Protected(None)
    assert world.store.intents[WEB.id].protection is None


@pytest.mark.parametrize("minutes", [0, 2881])
async def test_a_wrong_number_of_minutes_is_refused_as_by_ecs(minutes: int) -> None:
    world = World()
    with pytest.raises(Refused, match="from 1 to 2880") as caught:
        await world.guardian.protect(WEB.arn, minutes)
    refusal = caught.value
    assert (refusal.status, refusal.code) == (400, "InvalidParameterException")
    assert len(refusal.request_id) == 36
    assert world.store.intents[WEB.id].protection is None


async def test_a_task_that_is_to_stop_has_no_protection() -> None:
    guardian = World(stop=True).guardian
    for found in (
        await guardian.protection(WEB.arn),
        await guardian.protect(WEB.arn, 1),
        await guardian.unprotect(WEB.arn),
    ):
        assert found == Unprotectable("TASK_NOT_VALID", "the task is stopping")


async def test_a_task_that_was_forgotten_meanwhile_is_missing() -> None:
    guardian = World().guardian
    assert await guardian.protect("arn:aws:ecs:xx:1:task/lab/none", 1) == Unprotectable("MISSING")


async def test_what_can_not_be_kept_is_no_protection() -> None:
    world = World(FullDisk(WEB))
    for work in (world.guardian.protect(WEB.arn, 1), world.guardian.unprotect(WEB.arn)):
        with pytest.raises(Failed, match="disk is full"):
            await work
    assert await world.guardian.protection(WEB.arn) == Protected(None)
