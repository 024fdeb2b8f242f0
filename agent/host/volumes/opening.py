"""Everything about volumes that needs an agent, put together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agent.host.volumes.provider import VolumeProvider
from agent.host.volumes.shared import SharedVolumes
from agent.host.volumes.sharing import Sharing
from agent.settings import Settings
from agent.task.model import TaskId
from agent.task.names import Names


@dataclass(frozen=True, slots=True)
class Volumes:
    """What provides tasks with volumes, and the shared ones."""

    provider: VolumeProvider
    sharing: Sharing


def open_volumes(settings: Settings, region: str, open_tasks: Collection[str]) -> Volumes:
    """The volumes of this agent; what an earlier one left half done is gone.

    ``region`` is AWS's, "" if the host is in none. Blocking. Raises OSError.
    """
    names = settings.names
    _close(names)
    sharing = Sharing(
        names, SharedVolumes(names.shared_volumes), match_full=settings.shared_volumes_match_full
    )
    provider = VolumeProvider(names, sharing, region, settings.efs_servers)
    provider.sweep(open_tasks)
    return Volumes(provider, sharing)


def _close(names: Names) -> None:
    """No user of this host but root gets to the data of volumes.

    Containers and file servers may put programs there that run as root for whoever executes them.
    """
    for each in (names.mounts_dir, names.shared_volumes, names.volumes(TaskId("any")).parent):
        each.mkdir(parents=True, exist_ok=True)
        each.chmod(0o700)
