"""Who uses which shared volume, and what is mounted for that.

A task that uses one has an empty directory for it below the run directory (``places.claim``), made
before anything is mounted and removed after that is gone. Nothing else is counted: a crash at any
moment leaves either a claim, which ends with its task, or a mount without one, which ``sweep``
takes away.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.host.provisions import ProvisionUnavailable
from agent.host.volumes import mounting, mountpoints, places
from agent.host.volumes.errors import CannotCreateVolume, NoSuchVolume, VolumeError
from agent.host.volumes.mounting import MountFailed
from agent.host.volumes.shared import SharedVolume, SharedVolumes
from agent.task.definition import DockerVolume, Volume
from agent.task.model import Task
from agent.task.names import Names

_TURN_S = mounting.DEADLINE_S


class VolumeInUse(Exception):
    """Tasks use the volume; ``tasks`` are their ids."""

    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__(", ".join(tasks))
        self.tasks = tasks


class VolumeExists(Exception):
    """There is a shared volume of that name."""


class Sharing:
    """The shared volumes of this host in use. One thing at a time happens to each of them.

    ``match_full``: one that is there must have the options and labels that a task asks for.
    """

    def __init__(self, of: Names, volumes: SharedVolumes, *, match_full: bool) -> None:
        self._names = of
        self._volumes = volumes
        self._match_full = match_full
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def use(self, task: Task, of: Volume) -> Path | None:
        """The task may mount the volume; gives where its file system is mounted, if it has one.

        Raises VolumeError (also when it is not there and not to be made), CannotCreateVolume,
        ProvisionUnavailable while another task is at it for too long, OSError.
        """
        async with self._turn(of.name):
            found = await asyncio.to_thread(self._claimed, task, of)
            if found.request is None:
                return None
            target = self._volumes.path(of.name)
            if not mountpoints.is_mounted(target):
                try:
                    await mounting.mount(found.request, target)
                except MountFailed as error:
                    raise CannotCreateVolume(f"volume {of.name}: {error}") from error
            return target

    async def release(self, task: Task, name: str) -> None:
        """The task does not use the volume; what nobody uses is not mounted.

        Raises ProvisionUnavailable, OSError.
        """
        async with self._turn(name):
            await asyncio.to_thread(self._released, places.claim(task, name, self._names))

    async def create(self, volume: SharedVolume) -> None:
        """There is this volume. Raises VolumeExists, VolumeError, OSError, ProvisionUnavailable."""
        async with self._turn(volume.name):
            if await asyncio.to_thread(self._volumes.find, volume.name) is not None:
                raise VolumeExists
            await asyncio.to_thread(self._volumes.create, volume)

    async def remove(self, name: str) -> None:
        """It is gone with its data.

        Raises NoSuchVolume, VolumeInUse, OSError, ProvisionUnavailable.
        """
        async with self._turn(name):
            users = self._users(name)
            if users:
                raise VolumeInUse(users)
            if name not in await asyncio.to_thread(self._volumes.names):
                raise NoSuchVolume(f"no such volume: {name}")
            await asyncio.to_thread(self._volumes.remove, name)

    def all(self) -> Mapping[str, tuple[SharedVolume | None, tuple[str, ...]]]:
        """Every volume by name (None: its record can't be read), with the ids of its tasks.

        Blocking.
        """
        return {name: (self._readable(name), self._users(name)) for name in self._volumes.names()}

    def sweep(self) -> None:
        """Nothing is mounted that no task uses, nor half made. Before anything is used. Blocking.

        Raises OSError.
        """
        self._volumes.sweep()
        for name in self._volumes.names():
            if not self._users(name):
                mountpoints.detach(self._volumes.path(name))

    def path(self, name: str) -> Path:
        """Where the volume's data is."""
        return self._volumes.path(name)

    def _readable(self, name: str) -> SharedVolume | None:
        with suppress(VolumeError):
            return self._volumes.find(name)
        return None

    def _users(self, name: str) -> tuple[str, ...]:
        claims = self._names.mounts_dir.glob(f"*/shared/{name}")
        return tuple(sorted(each.parent.parent.name for each in claims))

    def _claimed(self, task: Task, of: Volume) -> SharedVolume:
        places.claim(task, of.name, self._names).mkdir(parents=True, exist_ok=True)
        docker = of.docker_volume_configuration or DockerVolume()
        found = self._volumes.find(of.name)
        if found is None:
            return self._made(of.name, docker)
        if docker.autoprovision and self._match_full:
            _refuse_other(found, docker)
        return found

    def _made(self, name: str, docker: DockerVolume) -> SharedVolume:
        if not docker.autoprovision:
            raise NoSuchVolume(
                f"get {name}: no such volume: make it with hostler volume create {name}, or let "
                "the task definition say autoprovision"
            )
        made = SharedVolume(name, time.time(), docker.driver_opts, docker.labels)
        self._volumes.create(made)
        return made

    def _released(self, claim: Path) -> None:
        """First the mount, if this is its last user, then the claim."""
        if self._users(claim.name) in ((), (claim.parent.parent.name,)):
            mountpoints.detach(self._volumes.path(claim.name))
        with suppress(FileNotFoundError):
            claim.rmdir()

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        lock = self._turns[name]
        try:
            async with asyncio.timeout(_TURN_S):
                await lock.acquire()
        except TimeoutError as error:
            raise ProvisionUnavailable(f"shared volume {name} is being mounted") from error
        try:
            yield
        finally:
            lock.release()


def _refuse_other(found: SharedVolume, docker: DockerVolume) -> None:
    for what, there, asked in (
        ("driverOpts", found.options, docker.driver_opts),
        ("labels", found.labels, docker.labels),
    ):
        if dict(there) != dict(asked):
            raise VolumeError(
                f"shared volume {found.name} has other {what} than the task definition "
                "(ECS_SHARED_VOLUME_MATCH_FULL_CONFIG)"
            )
