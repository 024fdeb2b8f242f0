"""containerd's own command line, without CNI: a network namespace with nothing in it."""

from __future__ import annotations

from agent.registry import hello
from bench import programs
from bench.accounts import Account
from bench.peers.bare import STOP_S, unpacked_image
from bench.programs import installed
from bench.world import NAMESPACE, QUITTER, SLEEPER, World


class Ctr:
    name = "ctr run -d"

    def __init__(self, world: World) -> None:
        self._client = world.client
        self._own = world.account("ctr")
        self._prefix = ("ctr", "--address", str(world.socket), "--namespace", NAMESPACE)
        self.accounts: tuple[Account, ...] = (self._own, world.containerd)

    async def start(self, name: str) -> None:
        await self._ctr("run", "--detach", *self._cgroup(name), hello.NAME, name, *SLEEPER)

    async def stop(self, name: str) -> None:
        await self._ctr("task", "kill", "--signal", "SIGTERM", name)
        # ctr has no command that waits.
        await self._client.tasks.wait(name, timeout=STOP_S)

    async def remove(self, name: str) -> None:
        await self._ctr("task", "delete", name)
        await self._ctr("container", "delete", name)

    async def once(self, name: str) -> None:
        await self._ctr("run", "--rm", *self._cgroup(name), hello.NAME, name, *QUITTER)

    def _cgroup(self, name: str) -> tuple[str, str]:
        return "--cgroup", f"{self._own.containers}/{name}"

    async def _ctr(self, *arguments: str) -> None:
        await programs.run(*self._prefix, *arguments)


async def open_ctr(world: World) -> Ctr:
    """The image is unpacked in containerd."""
    installed("ctr")
    await unpacked_image(world)
    return Ctr(world)
