"""Hostler: an agent of its own on the shared containerd, spoken to over its API.

The client waits with ``WatchTask``, so the agent is not polled: it answers when the step that is
waited for is there. Which one that is, the unmeasured first round finds out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from bench.accounts import Account
from bench.peers.spec import MEMORY_MIB
from bench.programs import ProgramFailed, daemon
from bench.world import QUITTER, SLEEPER, World

ACCOUNT = "hostler"
NAMESPACE = "hostler-bench"
_WAIT_S = 10.0
_DEADLINE = aiohttp.ClientTimeout(total=60.0)
_ECS = "AmazonEC2ContainerServiceV20141113."

AGENT = (sys.executable, "-m", "agent", "agent")
"""The agent's command."""


class Agent:
    """A running agent. ``pid`` is its process."""

    def __init__(self, pid: int, session: aiohttp.ClientSession) -> None:
        self.pid = pid
        self._session = session

    async def ecs(self, call: str, **body: Any) -> dict[str, Any]:
        """One call of ECS's API. Raises ProgramFailed with what the agent says against it."""
        return await self._post(_ECS + call, body)

    async def call(self, name: str, **body: Any) -> dict[str, Any]:
        """One of Hostler's own calls. Raises ProgramFailed likewise."""
        return await self._post(f"Hostler.{name}", body)

    async def pull(self, image: str) -> None:
        """The image is here. Raises ProgramFailed likewise."""
        asked = self._session.post("http://agent/images/pull", json={"image": image})
        try:
            async with asked as response:
                said = [json.loads(line) async for line in response.content]
        except aiohttp.ClientPayloadError as error:
            raise ProgramFailed(f"pull of {image}: the agent broke off: {error}") from error
        if response.status != 200 or "image" not in said[-1]:
            raise ProgramFailed(f"pull of {image}: {said[-1:]}")

    async def watch(self, arn: str, since: int) -> dict[str, Any]:
        """The task and its steps after ``since``, once there are any."""
        body = {"task": arn, "since": since, "waitSeconds": _WAIT_S}
        return await self._post("Hostler.WatchTask", body)

    async def _post(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"X-Amz-Target": target}
        async with self._session.post("http://agent/", json=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
        if response.status != 200:
            raise ProgramFailed(f"{target}: {answer}")
        return answer


class Watched(Protocol):
    """An agent, as far as waiting goes."""

    async def watch(self, arn: str, since: int) -> dict[str, Any]:
        """The task and its steps after ``since``, once there are any."""


class Waiter:
    """Waits for tasks of one kind to reach a state, with one call where it can."""

    def __init__(self, agent: Watched) -> None:
        self._agent = agent
        self._reached_at: dict[str, int] = {}

    async def until(self, arn: str, state: str) -> dict[str, Any]:
        """The watched task's answer once its ``lastStatus`` is ``state``, or it is ``closed``.

        Raises ProgramFailed if the task ends instead.
        """
        since = self._reached_at.get(state, 1) - 1
        while True:
            answer = await self._agent.watch(arn, since)
            task = answer["task"]
            if answer["closed"] if state == "closed" else task["lastStatus"] == state:
                before = self._reached_at.get(state, task["version"])
                self._reached_at[state] = min(before, task["version"])
                return answer
            if answer["closed"] or (state == "RUNNING" and task["lastStatus"] == "STOPPED"):
                raise ProgramFailed(f"the task stopped: {task.get('stoppedReason')}")
            since = task["version"]


class Hostler:
    """Tasks in one network mode."""

    def __init__(self, agent: Agent, mode: str, accounts: tuple[Account, ...]) -> None:
        self.name = f"hostler {mode}"
        self.accounts = accounts
        self.timelines: list[tuple[float, list[dict[str, Any]]]] = []
        """When each task of ``start`` was accepted, and its steps."""
        self.once_timelines: list[tuple[float, list[dict[str, Any]]]] = []
        """The same of ``once``."""
        self._agent = agent
        self._mode = mode
        self._arns: dict[str, str] = {}
        self._sleeper, self._quitter = Waiter(agent), Waiter(agent)

    async def register(self) -> None:
        """The task definitions are registered."""
        for family, command in (("sleeper", SLEEPER), ("quitter", QUITTER)):
            body = definition(f"{family}-{self._mode}", self._mode, command)
            await self._agent.ecs("RegisterTaskDefinition", **body)

    async def start(self, name: str) -> None:
        self._arns[name] = await self._run("sleeper")
        await self._sleeper.until(self._arns[name], "RUNNING")

    async def stop(self, name: str) -> None:
        await self._agent.ecs("StopTask", task=self._arns[name])
        await self._sleeper.until(self._arns[name], "STOPPED")

    async def remove(self, name: str) -> None:
        await self._sleeper.until(self._arns[name], "closed")
        self.timelines.append(await self._timeline(self._arns[name]))

    async def once(self, name: str) -> None:
        arn = await self._run("quitter")
        await self._quitter.until(arn, "closed")
        self.once_timelines.append(await self._timeline(arn))

    async def _run(self, family: str) -> str:
        answer = await self._agent.ecs("RunTask", taskDefinition=f"{family}-{self._mode}")
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    async def _timeline(self, arn: str) -> tuple[float, list[dict[str, Any]]]:
        answer = await self._agent.watch(arn, 0)
        return answer["task"]["createdAt"], answer["steps"]


def definition(family: str, mode: str, command: tuple[str, ...]) -> dict[str, Any]:
    """A task definition of one container; in bridge mode with a published port."""
    ports = [{"containerPort": 80}] if mode == "bridge" else []
    container = {
        "name": "c",
        "image": "hostler/hello",
        "memory": MEMORY_MIB,
        "command": list(command),
        "portMappings": ports,
    }
    return {"family": family, "networkMode": mode, "containerDefinitions": [container]}


@asynccontextmanager
async def agent(
    world: World,
    name: str,
    settings: Mapping[str, str] | None = None,
    command: Sequence[str] = AGENT,
) -> AsyncIterator[Agent]:
    """An agent with a state and a network of its own, ended at the end. ``name``: a few letters.

    ``settings`` are more of its settings, by their names; ``command`` may run it in another way.
    """
    account, folder = world.entered(ACCOUNT), world.scratch / name
    run_dir = folder / "run"
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOSTLER_STATE_DIR": str(folder / "state"),
        "HOSTLER_RUN_DIR": str(run_dir),
        "HOSTLER_API_LISTEN": "off",
        "HOSTLER_CONTAINERD": str(world.socket),
        "HOSTLER_CONTAINERD_NAMESPACE": NAMESPACE,
        "HOSTLER_CGROUP_PARENT": account.containers,
        "HOSTLER_BRIDGE": f"{name}0",
        "HOSTLER_NFT_TABLE": name,
        **(settings or {}),
    }
    socket = run_dir / "api.sock"
    async with daemon(*command, env=env, scratch=folder, ready=socket) as pid:
        connector = aiohttp.UnixConnector(path=str(socket), limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_DEADLINE) as session:
            yield Agent(pid, session)


async def open_hostler(world: World, running: Agent, mode: str) -> Hostler:
    """Tasks in ``mode`` of the running agent."""
    accounts = (world.account(ACCOUNT), world.containerd)
    hostler = Hostler(running, mode, accounts)
    await hostler.register()
    return hostler
