"""Many containers through Docker's API on its socket: bridge, each with a published port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench.accounts import Account
from bench.peers.barefleet import each_of
from bench.peers.docker import ACCOUNT
from bench.programs import ProgramFailed
from bench.world import IMAGE, SLEEPER, World

_DEADLINE = aiohttp.ClientTimeout(total=120.0)
_CONTAINER = {
    "Image": IMAGE,
    "Cmd": list(SLEEPER),
    "ExposedPorts": {"80/tcp": {}},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
}


class DockerFleet:
    name = "docker API, 16 at a time"

    def __init__(self, account: Account, session: aiohttp.ClientSession) -> None:
        self.accounts: tuple[Account, ...] = (account,)
        self._session = session
        self._names: list[str] = []

    async def start(self, count: int) -> None:
        self._names = [f"fleet{number}" for number in range(count)]
        await each_of(self._names, self._begin)

    async def stop(self) -> None:
        await each_of(self._names, self._end)

    async def _begin(self, name: str) -> None:
        await self._call("POST", f"/containers/create?name={name}", _CONTAINER)
        await self._call("POST", f"/containers/{name}/start")

    async def _end(self, name: str) -> None:
        await self._call("POST", f"/containers/{name}/stop")
        await self._call("DELETE", f"/containers/{name}")

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        async with self._session.request(method, f"http://docker{path}", json=body) as response:
            if response.status >= 400:
                raise ProgramFailed(f"{method} {path}: {(await response.text()).strip()}")


@asynccontextmanager
async def docker_fleet(world: World, socket: Path) -> AsyncIterator[DockerFleet]:
    """The dockerd behind ``socket``, used over its API."""
    connector = aiohttp.UnixConnector(path=str(socket), limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=_DEADLINE) as session:
        yield DockerFleet(world.account(ACCOUNT), session)
