"""The interfaces of tasks as the engine sees them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from agent.host.interfaces.desk import Interfaces
from agent.host.interfaces.provider import InterfaceError, NoInterfaces
from agent.task.model import Progress, Task, TaskId, first_progress
from agent.task.network import NetworkInterface
from agent.task.view import Absent, InterfaceSeen, Seen
from tests.worlds import ENI, container, task

TASK = task(container("web"), mode="awsvpc")
EARLY = first_progress(TASK)
GIVEN = replace(EARLY, interface=ENI, interface_at=1.0)


class One(NoInterfaces):
    """Has one interface."""

    def __init__(self) -> None:
        self.tasks: set[TaskId] = set()

    async def acquire(self, task: Task) -> NetworkInterface:
        self.tasks.add(task.id)
        return ENI

    async def release(self, task_id: TaskId) -> None:
        self.tasks.discard(task_id)

    def held(self, task_id: TaskId) -> bool:
        return task_id in self.tasks


class Links:
    """The NICs with these MACs."""

    def __init__(self, *macs: str) -> None:
        self.macs: Collection[str] = macs

    def nic_by_mac(self, mac: str) -> object:
        return mac if mac in self.macs else None


def desk(*macs: str) -> Interfaces:
    links: Any = Links(*macs)
    return Interfaces(One(), links)


async def test_what_is_acquired_is_held_until_it_is_released() -> None:
    interfaces = desk(ENI.mac)
    assert interfaces.look(TASK, EARLY) == Absent()
    assert await interfaces.acquire(TASK) == ENI
    assert interfaces.look(TASK, GIVEN) == Seen(InterfaceSeen(present=True))
    await interfaces.release(TASK)
    assert interfaces.look(TASK, GIVEN) == Absent()


@pytest.mark.parametrize(
    ("macs", "progress", "present"),
    [
        ([ENI.mac], GIVEN, True),
        ([], GIVEN, False),
        (["02:00:00:00:00:08"], GIVEN, False),
        ([ENI.mac], EARLY, None),
    ],
    ids=["there", "not yet", "another", "not known which"],
)
async def test_one_that_is_held_is_present_once_its_device_is(
    macs: list[str], progress: Progress, present: bool | None
) -> None:
    interfaces = desk(*macs)
    await interfaces.acquire(TASK)
    assert interfaces.look(TASK, progress) == Seen(InterfaceSeen(present))


async def test_tasks_in_other_modes_hold_none_whatever_the_provider_thinks() -> None:
    interfaces, other = desk(ENI.mac), task(container("web"))
    await interfaces.acquire(other)
    assert interfaces.look(other, first_progress(other)) == Absent()


async def test_why_there_is_none_is_passed_on() -> None:
    links: Any = Links()
    with pytest.raises(InterfaceError, match="HOSTLER_ENIS"):
        await Interfaces(NoInterfaces(), links).acquire(TASK)
