"""Engines with Docker's command line: a bridge network, one published port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.registry import hello
from bench import programs
from bench.accounts import Account
from bench.world import IMAGE, QUITTER, SLEEPER


class CommandLine:
    """``prefix`` is the program and its options, ``options`` those of its ``run``."""

    def __init__(
        self,
        name: str,
        account: Account,
        prefix: tuple[str, ...],
        *,
        options: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.accounts: tuple[Account, ...] = (account,)
        self._prefix = prefix
        self._options = ("--publish", "80", *options)
        self._env = env

    async def start(self, name: str) -> None:
        await self.run("run", "--detach", "--name", name, *self._options, IMAGE, *SLEEPER)

    async def stop(self, name: str) -> None:
        await self.run("stop", name)

    async def remove(self, name: str) -> None:
        await self.run("rm", name)

    async def once(self, name: str) -> None:
        await self.run("run", "--rm", "--name", name, *self._options, IMAGE, *QUITTER)

    async def load(self, layer: Path) -> None:
        """The image is in the engine's store."""
        await self.run("import", "--change", f"ENV PATH={hello.PATH}", str(layer), IMAGE)

    async def run(self, *arguments: str) -> str:
        """What the command said."""
        return await programs.run(*self._prefix, *arguments, env=self._env)
