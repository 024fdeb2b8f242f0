"""The load of a soak: tasks that come and go, an agent that is killed, and the account of both."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.peers.hostler import Agent, agent
from bench.programs import ProgramFailed
from bench.soak.kinds import KINDS, Kind
from bench.world import World

NAME = "soak"
LONGEST_S = 120.0
"""For one task from accepted to gone; after that it is lost."""

_AGAIN_S = 0.1
SETTINGS = {"ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1m", "ECS_LOGLEVEL": "warn"}

Json = dict[str, Any]


@dataclass(slots=True)
class Account:
    """What became of the tasks so far."""

    accepted: int = 0
    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    kills: int = 0


class Victim:
    """The agent, whichever it is at the moment."""

    def __init__(self, world: World, account: Account) -> None:
        self._world = world
        self._account = account
        self._there = asyncio.Event()
        self._agent: Agent | None = None

    async def live(self, lives: Iterable[float]) -> None:
        """One agent after the other serves, each for so many seconds and then killed."""
        for life_s in lives:
            async with self.serving() as running:
                await asyncio.sleep(life_s)
                self._there.clear()
                os.kill(running.pid, signal.SIGKILL)
            self._account.kills += 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Agent]:
        """An agent serves, until left."""
        async with agent(self._world, NAME, SETTINGS) as running:
            self._agent = running
            self._there.set()
            try:
                yield running
            finally:
                self._there.clear()

    async def call(self, name: str, **body: Any) -> Json:
        """The answer of an agent that lives long enough. Raises ProgramFailed for a refusal."""
        while True:
            await self._there.wait()
            running = self._agent
            assert running is not None
            try:
                match name:
                    case "WatchTask":
                        return await running.watch(body["task"], body["since"])
                    case "GetLogs":
                        return await running.call(name, **body)
                    case _:
                        return await running.ecs(name, **body)
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(_AGAIN_S)


class Customer:
    """Asks for one task after the other."""

    def __init__(self, victim: Victim, account: Account, chance: random.Random) -> None:
        self._victim = victim
        self._account = account
        self._chance = chance

    async def live(self, until: float) -> None:
        """Tasks come and go until then, on the monotonic clock."""
        while time.monotonic() < until:
            kind = self._chance.choice(KINDS)
            try:
                async with asyncio.timeout(LONGEST_S):
                    await self.task(kind)
            except (TimeoutError, ProgramFailed) as error:
                self._account.lost.append(f"{kind.name}: {error!r}")

    async def task(self, kind: Kind) -> None:
        """A task from accepted to gone; what is wrong with its end is in the account."""
        token = str(uuid.uuid4())
        family = kind.definition["family"]
        asked = await self._victim.call("RunTask", taskDefinition=family, clientToken=token)
        arn = asked["tasks"][0]["taskArn"]
        self._account.accepted += 1
        if kind.early:
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        elif kind.stops:
            await self._until(arn, kind, _well if kind.healthy else _up)
            await self._said_something(arn)
            await asyncio.sleep(self._chance.uniform(0.0, 3.0))
        if kind.stops:
            await self._victim.call("StopTask", task=arn, reason="enough", force=kind.force)
        task = await self._until(arn, kind, _closed)
        wrong = kind.wrong(task)
        if wrong:
            self._account.lost.append(f"{kind.name} {arn}: {wrong}")
        self._account.done[kind.name] += 1

    async def _said_something(self, arn: str) -> None:
        """Container ``a`` has come as far as to hear a signal."""
        while True:
            answer = await self._victim.call("GetLogs", task=arn, container="a")
            if answer["entries"]:
                return
            await asyncio.sleep(_AGAIN_S)

    async def _until(self, arn: str, kind: Kind, holds: Callable[[Json], bool]) -> Json:
        since = 0
        while True:
            answer = await self._victim.call("WatchTask", task=arn, since=since)
            if holds(answer):
                task: Json = answer["task"]
                return task
            if answer["closed"]:
                raise ProgramFailed(f"{kind.name} {arn}: closed: {answer['task']}")
            since = answer["task"]["version"]


def _up(answer: Mapping[str, Any]) -> bool:
    return bool(answer["task"]["lastStatus"] == "RUNNING")


def _well(answer: Mapping[str, Any]) -> bool:
    return _up(answer) and answer["task"].get("healthStatus") == "HEALTHY"


def _closed(answer: Mapping[str, Any]) -> bool:
    return bool(answer["closed"])
