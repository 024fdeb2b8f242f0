"""Takes away what agents have made on this host, apart from their state: when none runs.

Composed of what an agent does itself for tasks that are gone, with no task being there any more.
What can't be removed does not keep the rest.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent import machine
from agent.config import ConfigError
from agent.containerd.embedded import EmbeddedError
from agent.containerd.errors import ContainerdError
from agent.host.cgroups import slices
from agent.host.cgroups.kernel import CgroupError, Cgroups
from agent.host.cgroups.tasks import TaskCgroups, root_of
from agent.host.containerds import has_containerd
from agent.host.images import emptying
from agent.host.interfaces.choice import open_provider
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.host.leftovers import orphans
from agent.host.leftovers.strays import Stray, Strays
from agent.host.logrouter import LogRouter, LogRouterError
from agent.host.network import networking, networks
from agent.host.network.networkthread import open_thread
from agent.host.volumes import trees
from agent.host.volumes.opening import open_volumes
from agent.logs.protocol import SOCKET_NAME
from agent.service.ending import Stopping
from agent.settings import Settings
from agent.telling.credentials import aws_region
from cni.errors import CNIError
from cni.kernel import portshare
from cni.kernel.loopback import METADATA_ADDRESS
from cni.runtime.chain import Runtime

KNOCK_S = 2.0
"""Deadline for the agent's socket to be taken or refused."""

IN_RUN_DIR: Final = (
    *("api.sock", "cni.sock", SOCKET_NAME, "logs.lock", "logs.stderr"),
    *("cni", "containerd", "interfaces", "netns", "pinned", "private", "spool", "streams"),
    *("tasks", "volumes"),
)
"""What agents and log routers keep in their run directory. Somebody's own files there stay."""

_FAILURES = (
    *(CgroupError, CNIError, ConfigError, ContainerdError, EmbeddedError),
    *(InterfaceError, InterfacesExhausted, LogRouterError, OSError),
)


class StillInUse(Exception):
    """Nothing was changed, since an agent runs, or tasks; the text says what to do."""


@dataclass(slots=True)
class Reset:
    """One such run. ``removed`` and ``failed`` are sentences without their full stop.

    With ``force`` tasks are stopped, else they are a reason to do nothing; with ``images`` these
    go too, as they do only with a containerd that answers.
    """

    settings: Settings
    force: bool = False
    images: bool = False
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """All that can be is gone. Raises StillInUse."""
        await asyncio.to_thread(_refuse_beside_an_agent, self.settings.api_socket)
        with _none_starting(self.settings.state_dir / "state.lock"):
            await self._attempt_all()

    async def _attempt_all(self) -> None:
        await self._attempt("containers", self._containers())
        await self._attempt("network", self._network())
        await self._attempt("network interfaces", self._interfaces())
        await self._attempt("volumes", asyncio.to_thread(self._volumes))
        await self._attempt("log router", self._router())
        await self._attempt("cgroups", asyncio.to_thread(self._remove_cgroups))
        await self._attempt("run directory", asyncio.to_thread(self._run_dir))

    async def _attempt(self, what: str, work: Awaitable[None]) -> None:
        try:
            await work
        except _FAILURES as error:
            self.failed.append(f"{what}: {error}")

    async def _containers(self) -> None:
        if not await asyncio.to_thread(has_containerd, self.settings):
            return
        async with AsyncExitStack() as stack:
            try:
                client, _ = await machine.open_containerd(self.settings, Stopping(), stack)
                router = LogRouter(self.settings.run_dir)
                strays = machine.strays_on(self.settings, client, router, self._cgroups())
                found = await strays.find(())
            except (ContainerdError, EmbeddedError) as error:
                self._refuse_unseen(error)
                raise
            self._refuse_running(found)
            await self._remove_all(strays, found)
            if self.images:
                self.removed += await emptying.empty(client)

    def _refuse_unseen(self, error: Exception) -> None:
        if not self.force:
            raise StillInUse(
                f"containerd can't be asked what runs: {error}; start it, "
                "or leave what it has and take away the rest with --force"
            ) from error

    def _refuse_running(self, found: list[Stray]) -> None:
        running = [str(each) for each in found if each.running]
        if running and not self.force:
            raise StillInUse(
                f"containers run, of {'; '.join(running)}: stop them with 'hostler drain' while "
                "the agent runs, or here with --force"
            )

    async def _remove_all(self, strays: Strays, found: list[Stray]) -> None:
        ends = await asyncio.gather(*map(strays.remove, found), return_exceptions=True)
        resisting = []
        for stray, end in zip(found, ends, strict=True):
            if end is None:
                self.removed.append(f"containers of {stray}")
            elif isinstance(end, _FAILURES):
                resisting.append(stray)
                self.failed.append(f"{stray}: {end}")
            else:
                raise end
        ids = {each.record.id for stray in resisting for each in stray.containers}
        self.removed += await strays.sweep([each.task_id for each in resisting], ids)
        self.removed += await strays.sweep_shims(ids)

    async def _network(self) -> None:
        of, run_dir = self.settings, self.settings.run_dir / "cni"
        lists = networks.load(of, run_dir / "networks")

        def remove(runtime: Runtime) -> list[str]:
            told = orphans.remove(runtime, lists, of, (), ())
            if portshare.withdraw_if_there(METADATA_ADDRESS, of.metadata_table):
                told.append(f"address {METADATA_ADDRESS}")
            networking.withdraw(runtime, of)
            return told

        async with open_thread(run_dir, of.cni_plugin_path) as thread:
            self.removed += await thread.run(remove)

    async def _interfaces(self) -> None:
        provider = await open_provider(self.settings)
        released = await provider.release_all_but(())
        self.removed += [f"network interface {each}" for each in released]

    def _volumes(self) -> None:
        """Nothing is mounted of them; their data is state."""
        names = self.settings.names
        if names.mounts_dir.exists() or names.shared_volumes.exists():
            open_volumes(self.settings, aws_region(self.settings), ())

    async def _router(self) -> None:
        if not await LogRouter(self.settings.run_dir).stop_if_idle():
            raise LogRouterError("it still reads what containers write")

    def _cgroups(self) -> TaskCgroups:
        kernel = Cgroups()
        booted = slices.BOOTED.is_dir()
        root = root_of(self.settings, version=kernel.version, booted=booted)
        return TaskCgroups(self.settings.names, root, kernel=kernel)

    def _remove_cgroups(self) -> None:
        cgroups = self._cgroups()
        cgroups.remove_root()
        if cgroups.root.systemd:
            cgroups.systemd.stop(cgroups.root.parent)

    def _run_dir(self) -> None:
        folder = self.settings.run_dir
        if not folder.exists():
            return
        for name in IN_RUN_DIR:
            path = folder / name
            if path.is_dir():
                trees.remove(path)
            else:
                path.unlink(missing_ok=True)
        left = sorted(each.name for each in folder.iterdir())
        if left:
            self.failed.append(f"{folder} has what is not Hostler's: {', '.join(left)}")
        else:
            folder.rmdir()
            self.removed.append(f"directory {folder}")


@contextmanager
def _none_starting(lock: Path) -> Iterator[None]:
    """Meanwhile no agent gets as far as its state. Raises StillInUse if one has it already."""
    try:
        file = lock.open("r+")
    except FileNotFoundError:  # there was none ever
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StillInUse(
                f"an agent that starts or ends has {lock}: wait for it, or end it with "
                "'systemctl stop hostler'"
            ) from None
        yield


def _refuse_beside_an_agent(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(KNOCK_S)
        try:
            knocking.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as error:  # TimeoutError among them: somebody is there
            raise StillInUse(f"can't see whether an agent runs: {path}: {error}") from error
    raise StillInUse(
        f"an agent answers on {path}: empty it with 'hostler drain', and end it with "
        "'systemctl stop hostler'"
    )
