"""The queue over a store: who is granted what, when, and what of that outlives what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.engine.queue import Queue
from agent.task import capacity
from agent.task.capacity import Capacity, Need, Resource
from agent.task.definition import TaskDefinition
from agent.task.model import Progress, Stop, StopCode, Task, TaskId
from tests.fakes.store import MemoryStore
from tests.worlds import container, task

HOST = Capacity(memory_mib=100, cpu_units=1024)
STOP = Stop(StopCode.USER, "asked", 2.0)


def sized(name: str, memory: int, **fields: Any) -> Task:
    return task(container("web", memory=memory, **fields), task_id=name * 32)


def ended(progress: Progress) -> Progress:
    return replace(progress, stop=STOP).having("web", ended=True)


class World:
    """A queue over a store in memory, and who was woken."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.woken: list[str] = []
        self.store = store or MemoryStore()
        self.queue = Queue(self.store, HOST, lambda task_id: self.woken.append(task_id[0]))

    async def accept(self, *made: Task) -> str:
        """Who is admitted at once."""
        with self.queue.entering(made) as admitted:
            waiting = {each.id for each in made} - admitted
            await self.store.accept(*made, waiting=waiting)
        return "".join(sorted(each[0] for each in admitted))

    async def save(self, made: Task, progress: Progress) -> None:
        before = self.store.progress(made.id)
        await self.store.save(made.id, progress)
        self.queue.saved(made.id, before, progress)

    async def admit(self, made: Task) -> None:
        """As its supervisor does when there is no shortage."""
        assert not self.queue.shortage(made.id)
        await self.save(made, replace(self.store.progress(made.id), admitted_at=3.0))

    @property
    def waiting(self) -> str:
        return "".join(each[0] for each in self.queue.waiting)


A, B, C = sized("a", 60), sized("b", 60), sized("c", 40)


async def test_what_fits_is_admitted_as_it_is_stored() -> None:
    world = World()
    assert await world.accept(A, B, C) == "ac"
    assert world.store.progress(A.id).admitted_at == A.accepted_at
    assert world.store.progress(B.id).admitted_at is None
    assert world.waiting == "b"
    assert world.queue.shortage(B.id) == "for 60 MiB of memory: 0 MiB of 100 are free"
    assert world.queue.shortage(A.id) == ""
    assert world.queue.held() == {Resource.MEMORY: 100}


async def test_who_waits_is_woken_when_a_task_stops_and_holds_its_share_from_then_on() -> None:
    world = World()
    await world.accept(A, B)
    world.woken.clear()
    await world.save(A, ended(world.store.progress(A.id)))
    assert world.woken == ["b"]
    assert world.queue.held() == {Resource.MEMORY: 60}, "though it isn't stored yet"
    assert await world.accept(C, sized("d", 1)) == "c"
    await world.admit(B)
    assert world.queue.held() == {Resource.MEMORY: 100}
    assert world.woken == ["b", "c"]


async def test_what_was_granted_but_not_stored_is_granted_again_by_the_next_agent() -> None:
    world = World()
    await world.accept(A, B)
    await world.save(A, ended(world.store.progress(A.id)))
    after = World(world.store)
    assert after.queue.shortage(B.id) == ""
    assert await after.accept(sized("d", 60)) == ""
    await after.admit(B)


async def test_after_a_restart_tasks_have_what_they_had_and_wait_for_what_they_waited_for() -> None:
    world = World()
    await world.accept(A, B, C)
    after = World(world.store)
    assert after.queue.held() == {Resource.MEMORY: 100}
    assert after.waiting == "b"
    assert after.woken == []


async def test_a_stop_of_a_task_that_waits_lets_younger_ones_pass() -> None:
    world = World()
    await world.accept(A)
    assert await world.accept(sized("b", 100), C) == ""
    await world.save(sized("b", 100), replace(world.store.progress(B.id), stop=STOP))
    assert world.woken[-1] == "c"
    assert world.waiting == ""


async def test_a_stop_of_a_task_that_was_just_granted_its_share_gives_that_back() -> None:
    world = World()
    await world.accept(A, B)
    await world.accept(sized("d", 60))
    await world.save(A, ended(world.store.progress(A.id)))
    assert world.waiting == "d"
    await world.save(B, replace(world.store.progress(B.id), stop=STOP))
    assert world.waiting == ""
    await world.admit(sized("d", 60))


async def test_a_port_comes_free_when_nothing_is_left_of_its_task() -> None:
    port = {"portMappings": [{"containerPort": 80, "hostPort": 80}]}
    first, second = sized("a", 60, **port), sized("b", 60, **port)
    world = World()
    assert await world.accept(first, second) == "a"
    await world.save(first, ended(world.store.progress(first.id)))
    assert world.queue.shortage(second.id) == "for port 80/tcp: task aaaaaaaaaaaa has it"
    assert world.queue.held() == {("tcp", 80): 1}
    await world.save(first, replace(world.store.progress(first.id), closed_at=3.0))
    assert world.woken[-1] == "b"
    await world.admit(second)


async def test_tasks_that_could_not_be_stored_hold_nothing_and_hold_up_nobody() -> None:
    world = World()
    await world.accept(A)
    for lost in (sized("x", 40), sized("y", 90)):
        with pytest.raises(RuntimeError, match="disk"), world.queue.entering((lost,)):
            raise RuntimeError("the disk is full")
    assert world.waiting == ""
    assert await world.accept(C) == "c"


async def test_nothing_is_remembered_of_tasks_that_are_over_or_were_never_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked_out: list[TaskDefinition] = []
    need = capacity.need

    def counted(definition: TaskDefinition) -> Need:
        worked_out.append(definition)
        return need(definition)

    monkeypatch.setattr(capacity, "need", counted)
    world, lost = World(), sized("x", 40)

    def remembers(made: Task) -> bool:
        before = len(worked_out)
        world.queue.need(made)
        return len(worked_out) == before

    await world.accept(A, B)
    with pytest.raises(RuntimeError, match="disk"), world.queue.entering((lost,)):
        raise RuntimeError("the disk is full")
    assert not remembers(lost)
    assert [remembers(A), remembers(B)] == [True, True]
    await world.save(B, replace(world.store.progress(B.id), stop=STOP))
    await world.save(B, replace(world.store.progress(B.id), closed_at=3.0))
    assert not remembers(B), "it was stopped as it waited"
    await world.save(A, ended(world.store.progress(A.id)))
    await world.save(A, replace(world.store.progress(A.id), closed_at=3.0))
    assert not remembers(A)


async def test_a_release_while_a_task_is_being_stored_is_not_given_twice() -> None:
    world = World()
    await world.accept(A)
    with world.queue.entering((B,)) as admitted:
        assert not admitted
        await world.save(A, ended(world.store.progress(A.id)))  # B is granted its share
        with world.queue.entering((sized("d", 60),)) as others:
            assert not others
            await world.store.accept(sized("d", 60), waiting=[TaskId("d" * 32)])
        await world.store.accept(B, waiting=[B.id])
    await world.admit(B)
    assert world.waiting == "d"
    assert world.queue.held() == {Resource.MEMORY: 60}
