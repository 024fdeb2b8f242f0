"""What a container's runtime spec is made of, gathered from its task, its image and this host.

The spec itself is written by ``agent.oci``, which looks at nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agent.containerd.types import GROUP_ANNOTATION, Mount
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers import facts, files, links, metadata_files, rootfs, variables
from agent.host.containers.metadata_files import MetadataFiles
from agent.host.containers.runtimes import Runtime
from agent.host.gpus import edits
from agent.host.images.local import Unpacked
from agent.host.namespaces import places
from agent.host.volumes import binding, filling
from agent.oci.errors import SpecError
from agent.oci.inputs import BindMount, HostFacts, Private, SpecInputs
from agent.oci.user import User, resolve_user
from agent.task import names
from agent.task.definition import ContainerDefinition
from agent.task.model import Progress, Task
from agent.task.names import Names
from agent.task.network import Attachment

_PASSWD, _GROUP = "etc/passwd", "etc/group"


class Recipes:
    """Gathers for one agent. The users and groups of an image are read once.

    ``region`` is AWS's, "" if the host is in none. ``cdi_dirs`` have the specifications of GPUs.
    ``metadata`` is None where containers get no metadata file.
    """

    def __init__(
        self,
        of: Names,
        host: HostFacts,
        cgroups: TaskCgroups,
        region: str,
        cdi_dirs: Sequence[Path] = (),
        metadata: MetadataFiles | None = None,
    ) -> None:
        self._names = of
        self._host = host
        self._cgroups = cgroups
        self._region = region
        self._cdi_dirs = cdi_dirs
        self._metadata = metadata
        self._accounts: dict[str, dict[str, str]] = {}

    def host_files(self, task: Task, name: str, progress: Progress) -> tuple[BindMount, ...]:
        """What the host puts into the container: files of /etc, its volumes, its metadata file.

        Blocking. Raises OSError, VolumeError, SpecError.
        """
        network = _network(task, name, progress)
        directory = self._names.files_dir(task.id, task.sandbox(name))
        linked = links.entries(task, name, progress)
        written = files.write(task, name, network, directory, linked)
        asked = binding.mounts(task, name, self._names)
        about = self._metadata.prepare(task, name) if self._metadata else ()
        return written + asked + about

    def fill_volumes(self, task: Task, name: str, root: tuple[Mount, ...]) -> None:
        """New volumes have what the image has at their places; ``root`` as in ``inputs``.

        Blocking. Raises VolumeError, OSError.
        """
        fresh = tuple(binding.fresh(task, name, self._names))
        if fresh:
            filling.fill(fresh, root, self._scratch(task, name))

    async def inputs(
        self,
        task: Task,
        name: str,
        progress: Progress,
        *,
        runtime: Runtime,
        unpacked: Unpacked,
        root: tuple[Mount, ...],
        mounts: tuple[BindMount, ...],
        private: Private,
    ) -> SpecInputs:
        """All that the spec needs; ``root`` are the mounts of the container's own snapshot.

        Raises SpecError for an unknown user or GPU, OSError for a missing device.
        """
        definition, whole = task.container(name), task.definition
        network = _network(task, name, progress)
        netns = self._names.netns(task.id, task.sandbox(name))
        cgroup, key = self._names.task_cgroup(task), names.container_id(task.id, name)
        return SpecInputs(
            container=definition,
            image=unpacked.config,
            user=await self._user(task, name, unpacked, root),
            host=self._host,
            rootfs="rootfs",
            hostname=files.hostname(task, name, network),
            netns=None if whole.network_mode == "host" else str(netns),
            others_controls=_others_controls(task, name),
            # Other shims than runc's are not known to understand systemd's form.
            cgroup_path=cgroup.container(key) if runtime.isolated else cgroup.for_runtime(key),
            task_limits=self._cgroups.shown(task),
            pid_mode="host" if whole.pid_mode == "host" else None,
            ipc_mode=whole.ipc_mode if whole.ipc_mode != "task" else None,
            shared=places.shared(task, self._names),
            injected={
                **variables.injected(
                    task, name, _given(definition, unpacked, private), self._region
                ),
                **metadata_files.path_inside(mounts, task, name),
            },
            linked=links.variables(task, name, progress),
            private=private,
            mounts=mounts,
            devices=tuple(
                facts.device(Path(each.host_path)) for each in definition.linux_parameters.devices
            ),
            edits=await asyncio.to_thread(edits.of, task.gpus.get(name, ()), self._cdi_dirs),
            init_path=facts.init_program(),
            # A shim that is not runc's groups containers by rules of its own, if at all.
            annotations={} if runtime.isolated else {GROUP_ANNOTATION: task.id},
        )

    async def _user(
        self, task: Task, name: str, unpacked: Unpacked, root: tuple[Mount, ...]
    ) -> User:
        wanted = task.container(name).user or unpacked.config.user
        accounts = self._accounts.get(unpacked.chain_id)
        if accounts is None:
            paths, scratch = (_PASSWD, _GROUP), self._scratch(task, name)
            accounts = await asyncio.to_thread(rootfs.read_files, root, paths, scratch)
            self._accounts[unpacked.chain_id] = accounts
        return resolve_user(wanted, accounts[_PASSWD], accounts[_GROUP])

    def _scratch(self, task: Task, name: str) -> Path:
        """An empty directory, to mount the container's root on for a moment."""
        scratch = self._names.container_dir(task.id, name) / "root"
        scratch.mkdir(exist_ok=True)
        return scratch


def _network(task: Task, name: str, progress: Progress) -> Attachment:
    network = progress.networks[task.sandbox(name)].attachment
    if network is None:
        raise SpecError("it has no network yet")
    return network


def _others_controls(task: Task, name: str) -> frozenset[str]:
    """The system controls that containers set with which ``name`` shares its sandbox."""
    return frozenset(
        control.namespace
        for each in task.members(task.sandbox(name))
        if each != name
        for control in task.container(each).system_controls
    )


def _given(container: ContainerDefinition, unpacked: Unpacked, private: Private) -> frozenset[str]:
    """Names of the variables that the definition and the image set."""
    names = [each.name for each in container.environment]
    image = (each.partition("=")[0] for each in unpacked.config.env)
    return frozenset((*names, *image, *private.secrets, *private.from_files))
