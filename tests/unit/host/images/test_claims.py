"""Who builds on a part of an image, and who removes it, keep out of each other's way."""

from __future__ import annotations

import asyncio

import pytest

from agent.host.images.stock.claims import Claimed, Claims

DEADLINE_S = 60.0


async def test_what_is_claimed_is_not_removed_until_all_have_left() -> None:
    claims = Claims()
    async with claims.on("a", "b"):
        async with claims.on("b"):
            pass
        with pytest.raises(Claimed), claims.removing({"b", "c"}):
            pytest.fail("it was removed")
        with claims.removing({"c"}):
            pass
    with claims.removing({"a", "b"}):
        pass


async def test_what_is_being_removed_is_waited_for_and_nothing_else() -> None:
    claims, order = Claims(), []

    async def claim() -> None:
        async with claims.on("a", "b"):
            order.append("claimed")

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with claims.removing({"a"}):
            with claims.removing({"b"}):
                task = group.create_task(claim())
                await asyncio.sleep(0)
                async with claims.on("c"):
                    order.append("other")
            await asyncio.sleep(0)
            assert not task.done()
            order.append("removed")
    assert order == ["other", "removed", "claimed"]


async def test_what_is_being_removed_is_removed_once() -> None:
    claims = Claims()
    with claims.removing({"a"}), pytest.raises(Claimed), claims.removing({"a", "b"}):
        pytest.fail("it was removed twice")


async def test_a_claim_ends_with_its_holder() -> None:
    claims, held = Claims(), asyncio.Event()

    async def hold() -> None:
        async with claims.on("a"):
            held.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(hold())
        await held.wait()
        task.cancel()
    with claims.removing({"a"}):
        pass
