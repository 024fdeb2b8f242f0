"""Many tasks at once through Hostler's API: bridge mode, each with a published port."""

from __future__ import annotations

import asyncio

from bench.accounts import Account
from bench.peers.hostler import ACCOUNT, Agent, Waiter, definition
from bench.world import SLEEPER, World, ready

FAMILY = "fleet"
_MOST_AT_ONCE = 10
"""Tasks that one RunTask may ask for."""


class HostlerFleet:
    name = "hostler"

    def __init__(self, world: World, running: Agent) -> None:
        self.accounts: tuple[Account, ...] = (world.account(ACCOUNT), world.containerd)
        self._agent = running
        self._waiter = Waiter(running)
        self._arns: list[str] = []

    async def open(self) -> None:
        """The task definition is registered, and one task was run."""
        await self._agent.ecs("RegisterTaskDefinition", **definition(FAMILY, "bridge", SLEEPER))
        await self.start(1)
        await ready(self.accounts[0], 1)
        await self.stop()

    async def start(self, count: int) -> None:
        counts = [min(_MOST_AT_ONCE, count - done) for done in range(0, count, _MOST_AT_ONCE)]
        answers = await asyncio.gather(
            *(self._agent.ecs("RunTask", taskDefinition=FAMILY, count=each) for each in counts)
        )
        self._arns = [task["taskArn"] for answer in answers for task in answer["tasks"]]
        await asyncio.gather(*(self._waiter.until(arn, "RUNNING") for arn in self._arns))

    async def stop(self) -> None:
        await asyncio.gather(*(self._agent.ecs("StopTask", task=arn) for arn in self._arns))
        await asyncio.gather(*(self._waiter.until(arn, "closed") for arn in self._arns))
