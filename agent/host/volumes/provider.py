"""Volumes that somebody must make or mount, provided for a task as a whole.

    <run>/volumes/<task>/own/<volume>      mount point of a volume of the task's own
    <run>/volumes/<task>/shared/<volume>   an empty directory: the task uses that shared volume
    <run>/volumes/<task>/whole             all is there; lists what must be mounted

``whole`` is written last and removed last. What a crash has left without it is taken back before
the next agent begins; so is all of it when something listed is not mounted any more, as after a
reboot with a run directory that outlives it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.host.provisions import ProvisionUnavailable
from agent.host.volumes import mounting, mountpoints, places, requests, trees
from agent.host.volumes.errors import CannotCreateVolume, VolumeError
from agent.host.volumes.mounting import MountFailed
from agent.host.volumes.requests import MountRequest
from agent.host.volumes.sharing import Sharing
from agent.task.definition import Volume
from agent.task.model import Task
from agent.task.names import Names
from agent.task.story import about
from agent.task.view import Absent, Look, Seen

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VolumeProvider:
    """Provider of VOLUMES. ``servers`` are other NFS servers for ids of EFS file systems."""

    names: Names
    sharing: Sharing
    region: str
    servers: Mapping[str, str]

    async def look(self, task: Task) -> Look[None]:
        """Seen when all is there. Looks at one file only, never at what is mounted."""
        return Seen(None) if self._whole(task.id).exists() else Absent()

    async def provide(self, task: Task) -> None:
        """All is made and mounted, or nothing of it is left.

        Raises VolumeError, CannotCreateVolume, ProvisionUnavailable, OSError.
        """
        try:
            wanted = [each for each in task.definition.volumes if places.is_provided(each)]
            provided = [self._provide(task, each) for each in wanted]
            ended = await asyncio.gather(*provided, return_exceptions=True)
            await asyncio.to_thread(self._note, task, _targets(ended))
        except BaseException:
            await self._undo(task)
            raise

    async def take_back(self, task: Task) -> None:
        """Nothing is mounted for the task, and it uses no shared volume.

        Raises ProvisionUnavailable, OSError.
        """
        folder = self.names.task_mounts(task.id)
        for claim in await asyncio.to_thread(_children, folder / "shared"):
            await self.sharing.release(task, claim.name)
        await asyncio.to_thread(_clear, folder)

    def sweep(self, open_tasks: Collection[str]) -> None:
        """What tasks that are gone have left, and what is not whole, is taken back. Blocking.

        Only before anything is provided. What running containers have mounted stays theirs.
        Raises OSError.
        """
        mounting.end_leftovers(self.names.mounts_dir, self.names.shared_volumes)
        there = frozenset(mountpoints.mounted())
        for folder in _children(self.names.mounts_dir):
            if folder.name not in open_tasks or not _is_whole(folder, there):
                log.warning("taking back what was left of the volumes of task %s", folder.name)
                _clear(folder)
        self.sharing.sweep()

    async def _provide(self, task: Task, of: Volume) -> Path | None:
        """Gives what is mounted for it, if anything is."""
        try:
            if places.is_shared(of):
                return await self.sharing.use(task, of)
            request = self._request(of)
            if request is None:
                return None
            target = places.mount_point(task, of.name, self.names)
            await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
            if not mountpoints.is_mounted(target):
                await mounting.mount(request, target)
        except (MountFailed, OSError) as error:
            raise CannotCreateVolume(f"volume {of.name}: {error}") from error
        return target

    async def _undo(self, task: Task) -> None:
        """As ``take_back``; what fails now is done when the task is forgotten, or by ``sweep``."""
        try:
            await self.take_back(task)
        except (OSError, ProvisionUnavailable) as error:
            told = "can't take back the volumes of task %s yet: %s"
            log.warning(told, task.id, error, extra=about(task))

    def _request(self, of: Volume) -> MountRequest | None:
        efs = of.efs_volume_configuration
        if efs is not None:
            if not self.region and efs.file_system_id not in self.servers:
                raise VolumeError(
                    f"volume {of.name}: this host is in no region of AWS where EFS could be "
                    f"(AWS_DEFAULT_REGION), and HOSTLER_EFS_SERVERS names no server for "
                    f"{efs.file_system_id}"
                )
            return requests.of_efs(efs, self.region, self.servers)
        docker = of.docker_volume_configuration
        return requests.of_driver(docker.driver_opts) if docker is not None else None

    def _whole(self, task_id: str) -> Path:
        return self.names.mounts_dir / task_id / "whole"

    def _note(self, task: Task, targets: list[str]) -> None:
        path = self._whole(task.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(".whole")
        draft.write_text(json.dumps(targets))
        draft.rename(path)


def _targets(ended: Iterable[Path | BaseException | None]) -> list[str]:
    """What is mounted. Raises the first failure, now that none of the others runs on unseen."""
    targets = []
    for each in ended:
        if isinstance(each, BaseException):
            raise each
        if each is not None:
            targets.append(str(each))
    return targets


def _is_whole(folder: Path, there: Collection[Path]) -> bool:
    try:
        listed = json.loads((folder / "whole").read_text())
        return all(mountpoints.real(Path(each)) in there for each in listed)
    except (OSError, ValueError, TypeError):
        return False


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _clear(folder: Path) -> None:
    """Nothing is mounted below it, then it goes, ``whole`` at last."""
    for each in (folder / "own", folder / "shared", folder):
        trees.remove(each)
