"""Requests to the agent API, an agent in memory that answers them, and a task that may ask."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from metadata.agentapi.faults import Fault, Faults
from metadata.agentapi.protection import Protected, Protection, Unprotectable
from metadata.agentapi.room import AgentApi
from metadata.front.asking import Answer, Asking
from metadata.front.limits import Buckets, Rate
from metadata.source import Owner, RoleFacts, TaskFacts
from tests.unit.metadata.facts import FULL, FULL_TASK, OWNER, Picture

TASK = replace(
    FULL_TASK,
    network_mode="awsvpc",
    fault_injection=True,
    role=RoleFacts("cid", "arn:aws:iam::111122223333:role/shop"),
)
UNPROTECTED = Protected(None)
HURRY = Rate(per_second=1e6, burst=1_000_000)


@dataclass
class Content:
    """A body that comes in one piece, or not at all."""

    text: bytes
    stuck: bool = False

    async def readany(self) -> bytes:
        if self.stuck:
            await asyncio.Event().wait()
        text, self.text = self.text, b""
        return text


@dataclass
class Agent:
    """Guardian and injector at once: what it is asked for, and what it does instead of it."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    answer: Protected | Unprotectable = UNPROTECTED
    fails: Exception | None = None
    stuck: bool = False
    runs: bool = False

    async def protection(self, arn: str) -> Protected | Unprotectable:
        return await self._told("protection", arn)

    async def protect(self, arn: str, minutes: int | None) -> Protected | Unprotectable:
        return await self._told("protect", arn, minutes)

    async def unprotect(self, arn: str) -> Protected | Unprotectable:
        return await self._told("unprotect", arn)

    async def start(self, task: TaskFacts, fault: Fault) -> None:
        await self._told("start", task.arn, fault)

    async def stop(self, task: TaskFacts, fault: Fault) -> None:
        await self._told("stop", task.arn, fault)

    async def running(self, task: TaskFacts, fault: Fault) -> bool:
        await self._told("running", task.arn, fault)
        return self.runs

    async def _told(self, *asked: Any) -> Protected | Unprotectable:
        self.asked.append(asked)
        if self.stuck:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return self.answer


@dataclass
class Api:
    """The room with that agent, and tasks that may be asked about."""

    agent: Agent = field(default_factory=Agent)
    tasks: list[TaskFacts] = field(default_factory=lambda: [TASK])
    rate: Rate = HURRY
    now: Callable[[], float] = lambda: 0.0
    deadline_s: float = 5.0

    def __post_init__(self) -> None:
        source = Picture(self.tasks)
        faults = Faults(source, self.agent, Buckets(self.rate, self.now), self.deadline_s)
        self.room = AgentApi(Protection(source, self.agent, self.deadline_s), faults)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        owner: Owner = OWNER,
        remote: str = "169.254.170.2:40000",
    ) -> Answer:
        """The answer; a body that is not bytes is sent as JSON, None not at all."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        content = Content(b"" if body is None else text)
        return await self.room.answer(Asking(owner, method, path, remote=remote, content=content))


def told(answer: Answer) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    return answer.status, json.loads(answer.body)


def with_container(**facts: Any) -> TaskFacts:
    """The task, with other facts of the container that asks."""
    return replace(TASK, containers=(replace(FULL, **facts),))
