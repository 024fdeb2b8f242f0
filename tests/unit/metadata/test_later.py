"""Tests of a room that opens after its doors: who comes before waits, but not for ever."""

import asyncio

import looptime

from metadata.front.asking import Answer, Asking
from metadata.front.later import Later
from tests.unit.metadata.facts import OWNER

ASKING = Asking(OWNER, "GET", "/api/x")


class Room:
    async def answer(self, asking: Asking) -> Answer:
        return Answer(asking.path.encode())


async def test_who_comes_early_is_answered_when_it_opens() -> None:
    room = Later()
    async with asyncio.TaskGroup() as group:
        early = [group.create_task(room.answer(ASKING)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in early)
        room.open(Room())
    assert [each.result().body for each in early] == [b"/api/x"] * 2
    assert (await room.answer(ASKING)).status == 200


def test_who_waits_too_long_is_told_to_ask_again() -> None:
    async def wait() -> tuple[Answer, float]:
        answer = await Later().answer(ASKING)
        return answer, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        answer, at = runner.run(wait())
    assert (answer.status, at) == (503, 4.0)
