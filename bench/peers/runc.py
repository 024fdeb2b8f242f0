"""The floor: runc on a prepared bundle, with nothing around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM

from bench import programs
from bench.accounts import Account
from bench.peers.spec import plain
from bench.programs import installed
from bench.world import QUITTER, SLEEPER, World, extract


class Runc:
    name = "runc run"

    def __init__(self, folder: Path, account: Account) -> None:
        self.accounts: tuple[Account, ...] = (account,)
        self._folder = folder

    async def start(self, name: str) -> None:
        pid_file = str(self._pid_file(name))
        bundle = str(self._folder / "sleeper")
        await self._runc("run", "--detach", "--bundle", bundle, "--pid-file", pid_file, name)

    async def stop(self, name: str) -> None:
        await self._runc("kill", name, str(SIGTERM.value))
        await programs.ended(int(self._pid_file(name).read_text()))

    async def remove(self, name: str) -> None:
        await self._runc("delete", name)

    async def once(self, name: str) -> None:
        await self._runc("run", "--bundle", str(self._folder / "quitter"), name)

    def _pid_file(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    async def _runc(self, *arguments: str) -> None:
        await programs.run("runc", "--root", str(self._folder / "state"), *arguments)


async def open_runc(world: World) -> Runc:
    """Two bundles are prepared."""
    installed("runc")
    folder, account = world.scratch / "runc", world.account("runc")
    for bundle, command in (("sleeper", SLEEPER), ("quitter", QUITTER)):
        await asyncio.to_thread(_prepare, world.layer, folder / bundle, command, account)
    return Runc(folder, account)


def _prepare(layer: Path, bundle: Path, command: Sequence[str], account: Account) -> None:
    extract(layer, bundle / "rootfs")
    spec = plain().spec(command, f"{account.containers}/{bundle.name}")
    (bundle / "config.json").write_text(json.dumps(spec))
