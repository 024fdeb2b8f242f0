"""The limits of volumes and of the places where containers mount them.

Used by ``task_rules``; paths are those of the whole definition. The options of Docker's ``local``
driver are those that Docker itself checks before it mounts anything.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition
from agent.task.definition.container_rules import NAME, NAME_CURE
from agent.task.definition.problems import Problem
from agent.task.definition.task import DockerVolume, EfsVolume, TaskDefinition, Volume

LOCAL_OPTIONS = ("type", "o", "device")
"""The driver options that say what is mounted (``size`` would need quotas of the file system)."""

_NEEDED_WITH = {"device": ("type",), "type": ("device",), "o": ("device", "type")}


def volume_problems(task: TaskDefinition) -> Iterator[Problem]:
    """Everything wrong with the volumes of a task and with where they are mounted."""
    names = Counter(volume.name for volume in task.volumes)
    for index, volume in enumerate(task.volumes):
        for problem in _volume(volume, names[volume.name]):
            yield problem.under(f"volumes[{index}]")
    for index, container in enumerate(task.container_definitions):
        for problem in _mount_points(container, names):
            yield problem.under(f"containerDefinitions[{index}]")


def local_option_problems(options: dict[str, str]) -> Iterator[Problem]:
    """What Docker's local driver would not take; paths are the names of the options."""
    for name in options:
        if name not in LOCAL_OPTIONS:
            yield Problem(name, f"is no option of driver local: use {', '.join(LOCAL_OPTIONS)}")
        for other in _NEEDED_WITH.get(name, ()):
            if not options.get(other):
                yield Problem(name, f"needs {other} beside it")


def normal_path(path: str) -> str:
    """A path inside a container, written in one way: ``//a/./b/`` is ``/a/b``."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _volume(volume: Volume, same_name: int) -> Iterator[Problem]:
    if not NAME.fullmatch(volume.name):
        yield Problem("name", NAME_CURE)
    if same_name > 1:
        yield Problem("name", f"{volume.name} is used twice: give each volume its own name")
    kinds = (
        volume.docker_volume_configuration,
        volume.efs_volume_configuration,
        volume.s3files_volume_configuration,
        volume.fsx_windows_file_server_volume_configuration,
    )
    path = volume.host.source_path if volume.host else None
    if sum(kind is not None for kind in kinds) + bool(path) > 1:
        yield Problem("", "must be of one kind: host, Docker, EFS, S3 Files or FSx")
    if path:
        yield from _host_path(path)
    if volume.docker_volume_configuration:
        for problem in _docker(volume.docker_volume_configuration):
            yield problem.under("dockerVolumeConfiguration")
    if volume.efs_volume_configuration:
        for problem in _efs(volume.efs_volume_configuration):
            yield problem.under("efsVolumeConfiguration")


def _host_path(path: str) -> Iterator[Problem]:
    if not path.startswith("/"):
        yield Problem("host.sourcePath", "must be an absolute path: begin it with /")
    elif ".." in path.split("/"):
        yield Problem("host.sourcePath", "must not contain ..: write the path that is meant")


def _docker(docker: DockerVolume) -> Iterator[Problem]:
    if docker.autoprovision and docker.scope == "task":
        yield Problem("autoprovision", "is only for scope shared")
    for problem in local_option_problems(docker.driver_opts):
        yield problem.under("driverOpts")


def _efs(efs: EfsVolume) -> Iterator[Problem]:
    authorization = efs.authorization_config
    if authorization and authorization.access_point_id and efs.root_directory not in ("", "/"):
        yield Problem("rootDirectory", "must be / or absent with an access point")
    needs_encryption = authorization and (
        authorization.access_point_id or authorization.iam == "ENABLED"
    )
    if needs_encryption and efs.transit_encryption != "ENABLED":
        yield Problem("transitEncryption", "must be ENABLED with IAM or an access point")
    if efs.root_directory and not efs.root_directory.startswith("/"):
        yield Problem("rootDirectory", "must be an absolute path: begin it with /")
    if ".." in efs.root_directory.split("/"):
        yield Problem("rootDirectory", "must not contain ..: write the path that is meant")
    if not NAME.fullmatch(efs.file_system_id):
        yield Problem("fileSystemId", "must be an id such as fs-0123456789abcdef0")


def _mount_points(container: ContainerDefinition, names: Counter[str]) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for index, mount in enumerate(container.mount_points):
        path = f"mountPoints[{index}]"
        if mount.source_volume not in names:
            yield Problem(
                f"{path}.sourceVolume",
                f"no volume is called {mount.source_volume}: add it to volumes",
            )
        yield from _container_path(mount.container_path, f"{path}.containerPath", taken)
    for index, tmpfs in enumerate(container.linux_parameters.tmpfs):
        path = f"linuxParameters.tmpfs[{index}].containerPath"
        yield from _container_path(tmpfs.container_path, path, taken)


def _container_path(written: str, path: str, taken: dict[str, str]) -> Iterator[Problem]:
    """One mount for each place, as runtimes refuse it too. ``taken`` has those before."""
    if not written.startswith("/"):
        yield Problem(path, "must be an absolute path: begin it with /")
        return
    place = normal_path(written)
    if place == "/":
        yield Problem(path, "must not be /: that is the container's own root")
    elif place in taken:
        yield Problem(path, f"{place} is mounted by {taken[place]} already: use another path")
    else:
        taken[place] = path
