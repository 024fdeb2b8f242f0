"""Flights: in every order of joining, cancelling, failing and succeeding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.images.arriving.flights import Flights

KEY = "image"


class Broken(Exception):
    """What the work raises in these tests."""


@dataclass
class World:
    """One key, work that ends when it is told to, and a note of what was done."""

    flights: Flights[list[str], str] = field(default_factory=Flights)
    working: int = 0
    most: int = 0
    begun: int = 0
    ended: int = 0
    open: int = 0
    results: list[asyncio.Future[str]] = field(default_factory=list)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[list[str]]:
        self.begun += 1
        self.open += 1
        try:
            await asyncio.sleep(0)
            yield [f"state {self.begun}"]
        finally:
            self.open -= 1
            self.ended += 1
            await asyncio.sleep(0)

    async def work(self, state: list[str]) -> str:
        self.working += 1
        self.most = max(self.most, self.working)
        state.append("worked")
        self.results.append(asyncio.get_running_loop().create_future())
        try:
            return await self.results[-1]
        finally:
            self.working -= 1

    async def ask(self) -> str:
        async with self.flights.join(KEY, self.begin, self.work) as outcome:
            assert self.open  # the state is there while the outcome is used
            return outcome


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_works_and_all_who_waited_share_what_came() -> None:
    world = World()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(world.ask()) for _ in range(5)]
        await settle()
        world.results[0].set_result("done")
    assert [each.result() for each in asked] == ["done"] * 5
    assert (world.begun, world.ended, len(world.results)) == (1, 1, 1)
    assert not len(world.flights)


async def test_a_failure_is_shared_too() -> None:
    world = World()
    asked = asyncio.gather(*(world.ask() for _ in range(3)), return_exceptions=True)
    await settle()
    error = Broken("no")
    world.results[0].set_exception(error)
    assert await asked == [error] * 3
    assert (world.begun, world.ended) == (1, 1)


async def test_another_goes_on_with_the_state_of_one_who_was_cancelled() -> None:
    world = World()
    async with asyncio.TaskGroup() as group:
        first, second, third = (group.create_task(world.ask()) for _ in range(3))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        assert (world.begun, world.open, world.working) == (1, 1, 1)
        world.results[1].set_result("by the second")
    assert second.result() == third.result() == "by the second"


async def test_one_who_is_cancelled_while_waiting_stops_nothing() -> None:
    world = World()
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(world.ask()) for _ in range(2))
        await settle()
        second.cancel()
        await settle()
        world.results[0].set_result("done")
    assert first.result() == "done"
    assert second.cancelled()


async def test_the_last_one_to_leave_ends_the_state_also_when_cancelled() -> None:
    world = World()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(world.ask()) for _ in range(2)]
        await settle()
        for each in asked:
            each.cancel()
    assert (world.begun, world.ended, world.open) == (1, 1, 0)
    assert not len(world.flights)


async def test_who_comes_after_the_outcome_begins_anew() -> None:
    world = World()
    flights = world.flights
    async with asyncio.TaskGroup() as group:
        used = asyncio.Event()

        async def lingering() -> str:
            async with flights.join(KEY, world.begin, world.work) as outcome:
                await used.wait()
                return outcome

        first = group.create_task(lingering())
        await settle()
        world.results[0].set_result("old")
        await settle()
        second = group.create_task(world.ask())
        await settle()
        world.results[1].set_result("new")
        used.set()
    assert (first.result(), second.result()) == ("old", "new")
    assert world.begun == world.ended == 2


async def test_a_state_that_cannot_begin_fails_all() -> None:
    flights: Flights[None, str] = Flights()
    tried = 0

    @asynccontextmanager
    async def begin() -> AsyncIterator[None]:
        nonlocal tried
        tried += 1
        await asyncio.sleep(0)
        if tried:
            raise Broken("no lease")
        yield

    async def work(state: None) -> str:
        raise AssertionError(state)

    async def ask() -> str:
        async with flights.join(KEY, begin, work) as outcome:
            return outcome

    results = await asyncio.gather(ask(), ask(), return_exceptions=True)
    assert [type(each) for each in results] == [Broken, Broken]
    assert tried == 1


async def test_keys_have_nothing_to_do_with_each_other() -> None:
    flights: Flights[None, int] = Flights()
    done: list[int] = []

    @asynccontextmanager
    async def begin() -> AsyncIterator[None]:
        yield

    async def ask(number: int) -> int:
        async def work(_: None) -> int:
            await asyncio.sleep(0)
            done.append(number)
            return number

        async with flights.join(number, begin, work) as outcome:
            return outcome

    assert await asyncio.gather(*map(ask, range(3))) == [0, 1, 2]
    assert sorted(done) == [0, 1, 2]


async def test_an_error_of_the_body_is_the_body_s_alone() -> None:
    world = World()

    async def fails() -> None:
        async with world.flights.join(KEY, world.begin, world.work):
            raise Broken("mine")

    async with asyncio.TaskGroup() as group:
        other = group.create_task(world.ask())
        own = asyncio.gather(fails(), return_exceptions=True)
        await settle()
        world.results[0].set_result("done")
    assert other.result() == "done"
    assert [type(each) for each in await own] == [Broken]
    assert world.open == 0


STEPS = st.lists(
    st.one_of(
        *(
            st.tuples(st.just(kind), st.integers(0, 7))
            for kind in ("join", "cancel", "fail", "succeed", "turn")
        )
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_the_order_nobody_is_left_waiting(steps: list[tuple[str, int]]) -> None:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    world = World()
    async with asyncio.timeout(3600):
        async with asyncio.TaskGroup() as group:
            asked: list[asyncio.Task[str | None]] = []
            for step, number in steps:
                if step == "join":
                    asked.append(group.create_task(_ask(world)))
                elif step == "cancel" and asked:
                    asked[number % len(asked)].cancel()
                elif step in ("fail", "succeed"):
                    _end(world, Broken("no") if step == "fail" else None)
                for _ in range(number):
                    await asyncio.sleep(0)
            while not all(each.done() for each in asked):
                _end(world, None)
                await asyncio.sleep(1)
    assert world.most <= 1  # never two at work for one key
    assert world.open == 0
    assert world.begun == world.ended
    assert not len(world.flights)


async def _ask(world: World) -> str | None:
    try:
        return await world.ask()
    except Broken:
        return None


def _end(world: World, error: Broken | None) -> None:
    """Ends the work that is under way, if there is any."""
    for each in world.results:
        if not each.done() and error is not None:
            each.set_exception(error)
        elif not each.done():
            each.set_result("done")


async def test_nothing_else_is_kept_from_running_while_all_are_cancelled_one_by_one() -> None:
    world = World()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(world.ask()) for _ in range(4)]
        for each in asked:
            await settle()
            each.cancel()
    assert all(each.cancelled() for each in asked)
    assert (world.begun, world.ended, len(world.results)) == (1, 1, 4)


@pytest.mark.parametrize("outcome", ["", None])
async def test_an_outcome_may_be_anything(outcome: str | None) -> None:
    flights: Flights[None, str | None] = Flights()

    @asynccontextmanager
    async def begin() -> AsyncIterator[None]:
        yield

    async def work(_: None) -> str | None:
        return outcome

    async with flights.join(KEY, begin, work) as found:
        assert found == outcome
