from typing import Any

import pytest

from bench.peers.hostler import Waiter
from bench.programs import ProgramFailed


class ScriptedAgent:
    """Answers each WatchTask with the next state; keeps from where it was asked."""

    def __init__(self, *states: tuple[str, int, bool]) -> None:
        self._states = list(states)
        self.asked: list[int] = []

    async def watch(self, arn: str, since: int) -> dict[str, Any]:
        self.asked.append(since)
        status, version, closed = self._states.pop(0)
        task = {"lastStatus": status, "version": version, "stoppedReason": "it broke"}
        return {"task": task, "steps": [], "closed": closed}


async def test_the_first_wait_goes_step_by_step_and_the_next_straight_there() -> None:
    agent = ScriptedAgent(
        ("PENDING", 1, False), ("PENDING", 4, False), ("RUNNING", 6, False), ("RUNNING", 6, False)
    )
    waiter = Waiter(agent)
    await waiter.until("arn", "RUNNING")
    await waiter.until("arn", "RUNNING")
    assert agent.asked == [0, 1, 4, 5]


async def test_a_task_that_stops_instead_of_running_is_a_failure() -> None:
    waiter = Waiter(ScriptedAgent(("STOPPED", 5, False)))
    with pytest.raises(ProgramFailed, match="it broke"):
        await waiter.until("arn", "RUNNING")


async def test_closed_is_waited_for_beyond_stopped() -> None:
    agent = ScriptedAgent(("STOPPED", 9, False), ("STOPPED", 12, True))
    answer = await Waiter(agent).until("arn", "closed")
    assert answer["closed"]
    assert agent.asked == [0, 9]
