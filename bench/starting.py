"""An agent started under a manager that waits for READY=1: what the start took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from bench.manager import DEADLINE_S, Manager
from bench.peers.hostler import AGENT, Agent, Waiter, agent
from bench.world import World

_MIB = 2**20
_MOST_DESCRIBED = 100


@dataclass(frozen=True, slots=True)
class Start:
    """A start of the agent: when it began and when it was READY, on the monotonic clock; its CPU
    seconds until then and until all is quiet, and its memory then."""

    began: float
    ready: float
    cpu_s: float
    settled_cpu_s: float
    rss_mib: float

    @property
    def ready_s(self) -> float:
        """Seconds until READY."""
        return self.ready - self.began


@asynccontextmanager
async def started(
    world: World,
    hearing: Manager,
    name: str,
    settle_s: float = 0.0,
    *,
    settings: Mapping[str, str] | None = None,
    command: Sequence[str] = AGENT,
) -> AsyncIterator[tuple[Agent, Start]]:
    """An agent of this name that has been ready for ``settle_s`` seconds."""
    environment = {"NOTIFY_SOCKET": str(hearing.address), **(settings or {})}
    began, readiness = time.monotonic(), hearing.expect()
    async with agent(world, name, environment, command) as running:
        async with asyncio.timeout(DEADLINE_S):
            ready = await readiness
        process = psutil.Process(running.pid)
        cpu = cpu_s(process)
        await asyncio.sleep(settle_s)
        rss = process.memory_info().rss / _MIB
        yield running, Start(began, ready, cpu, cpu_s(process), rss)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of the process so far."""
    used = process.cpu_times()
    return used.user + used.system


async def running_tasks(running: Agent) -> list[dict[str, Any]]:
    """All that run, as DescribeTasks has them."""
    listed: list[str] = []
    more: dict[str, str] = {}
    while not listed or more:
        answer = await running.ecs("ListTasks", desiredStatus="RUNNING", **more)
        listed += answer["taskArns"]
        more = {key: answer[key] for key in ("nextToken",) if key in answer}
    tasks: list[dict[str, Any]] = []
    for first in range(0, len(listed), _MOST_DESCRIBED):
        some = listed[first : first + _MOST_DESCRIBED]
        tasks += (await running.ecs("DescribeTasks", tasks=some))["tasks"]
    return [each for each in tasks if each["lastStatus"] == "RUNNING"]


async def end_tasks(running: Agent) -> None:
    """None runs any more, and nothing is left of them."""
    waiter = Waiter(running)
    arns = [each["taskArn"] for each in await running_tasks(running)]
    for arn in arns:
        await running.ecs("StopTask", task=arn, force=True)
    await asyncio.gather(*(waiter.until(arn, "closed") for arn in arns))
