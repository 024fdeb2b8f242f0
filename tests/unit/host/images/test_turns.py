"""Turns by key, and things done together."""

from __future__ import annotations

import asyncio

import pytest

from agent.host.images.arriving.together import together
from agent.host.images.arriving.turns import Turns


async def test_a_key_has_one_holder_and_other_keys_do_not_wait() -> None:
    turns, log = Turns(), list[str]()

    async def one(key: str, name: str) -> None:
        async with turns.of(key):
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")

    await asyncio.gather(one("a", "first"), one("a", "second"), one("b", "other"))
    assert log.index("first ends") < log.index("second begins")
    assert log.index("other begins") < log.index("first ends")
    assert len(turns) == 0


async def test_who_is_cancelled_or_fails_leaves_the_key_to_the_next() -> None:
    turns = Turns()
    entered = asyncio.Event()

    async def holds() -> None:
        async with turns.of("a"):
            entered.set()
            await asyncio.sleep(3600)

    async def fails() -> None:
        async with turns.of("a"):
            raise ValueError("mine")

    async with asyncio.TaskGroup() as group:
        holder = group.create_task(holds())
        await entered.wait()
        waits = group.create_task(holds())
        await asyncio.sleep(0)
        failed = asyncio.gather(fails(), return_exceptions=True)
        await asyncio.sleep(0)
        waits.cancel()
        holder.cancel()
    assert [type(each) for each in await failed] == [ValueError]
    assert len(turns) == 0


async def test_the_first_failure_ends_the_others_and_comes_alone() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await together((waits(), fails(), waits()))
    assert ended == ["waits", "waits"]


async def test_all_are_cancelled_with_the_caller_and_end_before_it() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append("waits")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(together((waits(), waits())))
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
    assert ended == ["waits", "waits"]


async def test_a_failure_does_not_hide_that_the_caller_is_cancelled() -> None:
    async def fails_at_the_end() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("too late")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(together((fails_at_the_end(),)))
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()


async def test_nothing_to_do_is_done() -> None:
    await together(())
