"""Who pulls: each with a store of its own, from which an image can be removed without a trace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from agent.containerd.embedded import EmbeddedContainerd
from bench import programs
from bench.accounts import Account
from bench.peers.docker import ACCOUNT as DOCKER
from bench.peers.hostler import ACCOUNT as HOSTLER
from bench.peers.hostler import Agent
from bench.programs import installed
from bench.world import NAMESPACE, World

_CACHE = Path("/var/lib/containers")
"""Where podman remembers, for all its stores, which blobs a registry has."""


class Peer(Protocol):
    """A way to get an image. Each step returns when it is true; raises what went wrong."""

    name: str
    accounts: tuple[Account, ...]
    """The first is the peer's own: this process counts there while it is the peer's client."""

    async def pull(self, reference: str) -> None:
        """The image is here, and unpacked."""

    async def remove(self, reference: str) -> None:
        """Neither content nor files of it are left."""


class Command:
    """An engine with a command line."""

    def __init__(
        self,
        name: str,
        account: Account,
        pull: tuple[str, ...],
        remove: tuple[str, ...],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.accounts: tuple[Account, ...] = (account,)
        self._pull = pull
        self._remove = remove
        self._env = env

    async def pull(self, reference: str) -> None:
        await programs.run(*self._pull, reference, env=self._env)

    async def remove(self, reference: str) -> None:
        await programs.run(*self._remove, reference, env=self._env)


class Hostler:
    """The agent's API: from the request until it answers that the image is here."""

    name = "hostler image pull"

    def __init__(self, accounts: tuple[Account, ...], running: Agent) -> None:
        self.accounts = accounts
        self._agent = running

    async def pull(self, reference: str) -> None:
        await self._agent.pull(reference)

    async def remove(self, reference: str) -> None:
        await self._agent.call("RemoveImage", image=reference)


@asynccontextmanager
async def ctr(world: World) -> AsyncIterator[Peer]:
    """ctr on a containerd of its own. Raises Missing."""
    installed("ctr")
    account, folder = world.entered("ctr"), world.scratch / "ctr"
    containerd = EmbeddedContainerd(folder / "root", folder / "state", folder / "c.sock")
    await containerd.start()
    try:
        prefix = ("ctr", "--address", str(containerd.socket), "--namespace", NAMESPACE, "images")
        pull, remove = (*prefix, "pull", "--plain-http"), (*prefix, "rm", "--sync")
        yield Command("ctr image pull", account, pull, remove)
    finally:
        await containerd.stop()


def podman(world: World) -> Peer:
    """podman with stores of its own. Raises Missing."""
    installed("podman")
    account, folder = world.account("podman"), world.scratch / "podman"
    _CACHE.mkdir(exist_ok=True)
    subprocess.run(("mount", "-t", "tmpfs", "tmpfs", _CACHE), check=True)  # seen by us alone
    prefix = (
        *("podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")),
        *("--tmpdir", str(folder / "tmp"), "--storage-driver", "overlay"),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    )
    pull, remove = (*prefix, "pull", "--quiet", "--tls-verify=false"), (*prefix, "rmi", "--force")
    return Command("podman pull", account, pull, remove)


def docker(world: World, socket: Path) -> Peer:
    """Docker, whose daemon serves ``socket``."""
    config = str(world.scratch / "docker")
    env = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": config}
    pull, remove = ("docker", "pull", "--quiet"), ("docker", "rmi", "--force")
    return Command("docker pull", world.account(DOCKER), pull, remove, env)


def hostler(world: World, running: Agent) -> Peer:
    """The running agent, which works with the shared containerd."""
    return Hostler((world.account(HOSTLER), world.containerd), running)


def peak_rss_mib(pid: int) -> float:
    """The most memory of a process since ``forget_peak`` (proc(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> None:
    """Its peak is what it has now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def flush() -> None:
    """What others wrote is on their disks, and nobody else's to wait for."""
    os.sync()
