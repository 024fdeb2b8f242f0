"""Containers in the runtime: created, started, run again, signalled, deleted; each idempotent.

A container's directory is made first and removed last: as long as that or its record in containerd
is there, something of it may be. All containers of a task share one shim (GROUP_ANNOTATION).
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists, FailedPrecondition, NotFound
from agent.containerd.types import GC_ROOT_LABEL, Mount, Status
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers import facts, keepsakes, shims
from agent.host.containers.metadata_files import MetadataFiles
from agent.host.containers.processes import Processes
from agent.host.containers.recipes import Recipes
from agent.host.containers.records import Records
from agent.host.containers.runtimes import Runtimes
from agent.host.containers.stdio import Streams
from agent.host.images.local import Unpacked
from agent.host.images.obtaining import Images
from agent.host.logrouter import LogRouter
from agent.host.private.privacy import Privacy
from agent.oci.errors import SpecError
from agent.oci.private import build_public_spec
from agent.task import names
from agent.task.model import Progress, Task
from agent.task.names import Names
from agent.task.story import about
from agent.task.view import Absent, ContainerSeen, Look, Running, Seen, Unknown

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

_RUNNING = {
    Status.CREATED: Running.CREATED,
    Status.RUNNING: Running.RUNNING,
    Status.PAUSED: Running.RUNNING,
    Status.PAUSING: Running.RUNNING,
}


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How containers are run.

    ``region`` is AWS's region that containers are told; "" if the host is in none. ``cdi_dirs``
    have the specifications of its GPUs.
    """

    runtimes: Runtimes
    create_timeout_s: float
    start_timeout_s: float
    region: str = ""
    cdi_dirs: tuple[Path, ...] = ()


class Containers:
    """The containers of all tasks, in one containerd namespace. ``metadata``: they get files."""

    def __init__(
        self,
        client: Containerd,
        images: Images,
        router: LogRouter,
        of: Names,
        cgroups: TaskCgroups,
        settings: RuntimeSettings,
        privacy: Privacy,
        metadata: MetadataFiles | None = None,
    ) -> None:
        self._client = client
        self._images = images
        self._streams = Streams(router, of)
        self._names = of
        self._cgroups = cgroups
        self._recipes = Recipes(
            *(of, facts.gather(cgroups.kernel), cgroups),
            *(settings.region, settings.cdi_dirs, metadata),
        )
        self._records = Records(client, of, settings.runtimes)
        self._settings = settings
        self.privacy = privacy
        self.processes = Processes(client, cgroups.kernel, settings.create_timeout_s)
        # Nobody but us makes containers of these names, so they need not be asked for again.
        self._absent: set[str] = set()

    async def look(self, task: Task, progress: Progress, name: str) -> Look[ContainerSeen]:
        """The container's state. Raises ContainerdError when containerd can't tell."""
        key = names.container_id(task.id, name)
        if progress.containers[name].image is None:
            self._absent.add(key)  # an image is saved before anything is made of it
        if key in self._absent:
            return Absent()
        try:
            process = await self._client.tasks.get(key)
        except NotFound:
            return await self._look_for_rest(task, name)
        if process.status is Status.UNKNOWN:
            return Unknown("its shim does not answer")
        if process.exit is not None:
            killed = progress.containers[name].kill_sent_at is not None
            status, at = process.exit.status, process.exit.at
            starved = self._cgroups.out_of_memory(task, name, status, killed=killed)
            return Seen(ContainerSeen(Running.STOPPED, 0, status, at, starved))
        return Seen(ContainerSeen(_RUNNING[process.status], process.pid))

    async def create(self, task: Task, name: str, progress: Progress) -> None:
        """The container's process waits to be started. It has its image and its network.

        Raises SpecError, VolumeError, OSError, LogRouterError for what can't be prepared,
        ProvisionUnavailable while its secrets are not held, and ContainerdError (of Tasks.Create:
        what the runtime refused).
        """
        image = progress.containers[name].image
        if image is None:
            raise SpecError("it has no image yet")
        key = names.container_id(task.id, name)
        self._absent.discard(key)
        directory = self._names.container_dir(task.id, name)
        if directory.exists():
            self.processes.expect_rest(task.id)
        directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        unpacked = await self._images.unpacked(image.id)
        mounts, root, stdio = await _all_of(
            asyncio.to_thread(self._recipes.host_files, task, name, progress),
            self._prepare_snapshot(key, unpacked),
            self._streams.open(task, name),
        )
        runtime = self._records.runtime(task, name)
        if task.container(name).mount_points:
            await asyncio.to_thread(self._recipes.fill_volumes, task, name, root)
        inputs = await self._recipes.inputs(
            task,
            name,
            progress,
            runtime=runtime,
            unpacked=unpacked,
            root=root,
            mounts=mounts,
            private=self.privacy.of(task, name),
        )
        spec = build_public_spec(inputs)
        whole = self.privacy.whole(task, name, spec)
        if whole is not None:
            runtime = await asyncio.to_thread(self.privacy.runtime, runtime)
        kept = keepsakes.extensions(task, name, progress)
        await self._records.ensure(task, name, image, spec, runtime, kept)
        with self.privacy.offering(key, whole):
            await self.processes.create(task, key, _labelled(root, spec), stdio)

    async def start(self, task: Task, name: str) -> None:
        """The container's process runs, or has run. Raises ContainerdError."""
        key = names.container_id(task.id, name)
        try:
            await self._client.tasks.start(key, timeout=self._settings.start_timeout_s)
        except FailedPrecondition:
            return  # it was started before

    async def restart(self, task: Task, name: str, progress: Progress) -> None:
        """The container runs again, or has run, after the exit that its progress has.

        From its record, on its snapshot, into its log. Raises ContainerdError, LogRouterError.
        """
        key, answered = names.container_id(task.id, name), progress.containers[name].restart
        try:
            process = await self._client.tasks.get(key)
        except NotFound:
            # Another attempt got as far as removing it, and may have left something half-made.
            self.processes.expect_rest(task.id)
            await self._rerun(task, name)
            return
        ended = process.exit
        if ended is None and process.status is Status.CREATED:
            await self.start(task, name)
        elif ended is not None and answered is not None and ended.at == answered.exited_at:
            with suppress(NotFound):
                await self._client.tasks.delete(key)
            await self._rerun(task, name)

    async def signal(self, task: Task, name: str, number: int) -> None:
        """The signal was delivered, or there is nobody to get it. Raises ContainerdError."""
        with suppress(NotFound):
            await self._client.tasks.kill(names.container_id(task.id, name), number)

    async def delete(self, task: Task, name: str, progress: Progress) -> None:
        """Process, log pipes, snapshot and record are gone; the log is complete.

        How it ended stays in the task's directory. Raises ContainerdError and LogRouterError;
        trying again goes on where it failed.
        """
        key = names.container_id(task.id, name)
        await self.processes.end(task.id, key)
        await self._streams.close(task, name)
        await asyncio.to_thread(keepsakes.bury, self._names, task, name, progress)
        with suppress(NotFound):
            await self._client.snapshots.remove(key)
        with suppress(NotFound):
            await self._client.containers.delete(key)
        directory = self._names.container_dir(task.id, name)
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)
        self._absent.add(key)

    async def release(self, task: Task) -> None:
        """No shim of the task is left. Only when all its containers are deleted.

        A shim ends with its last container. Only a creation that did not end well, or an earlier
        agent's, may have left one behind; looking for it is not for every task.
        """
        keys = {names.container_id(task.id, each.name) for each in task.containers}
        if not self.processes.forget(task.id, keys):
            namespace, socket = self._client.namespace, self._client.socket
            for pid in await asyncio.to_thread(shims.end_leftover, namespace, socket, keys):
                told = "ended shim %d, which outlived the containers of task %s"
                log.warning(told, pid, task.id, extra=about(task))

    def forget(self, task: Task) -> None:
        """The task will never be looked at again."""
        self._absent -= {names.container_id(task.id, each.name) for each in task.containers}

    async def _look_for_rest(self, task: Task, name: str) -> Look[ContainerSeen]:
        try:
            if not self._names.container_dir(task.id, name).exists():
                await self._client.containers.get(names.container_id(task.id, name))
        except NotFound:
            self._absent.add(names.container_id(task.id, name))
            return Absent()
        return Seen(ContainerSeen(Running.UNSTARTED))

    async def _rerun(self, task: Task, name: str) -> None:
        key = names.container_id(task.id, name)
        root = await self._client.snapshots.mounts(key)
        record = await self._client.containers.get(key)
        stdio = await self._streams.open(task, name)
        spec = json.loads(record.spec)
        whole = self.privacy.whole(task, name, spec)
        with self.privacy.offering(key, whole):
            await self.processes.create(task, key, _labelled(root, spec), stdio)
        await self.start(task, name)

    async def _prepare_snapshot(self, key: str, unpacked: Unpacked) -> tuple[Mount, ...]:
        try:
            # The label holds it until the record does.
            return await self._client.snapshots.prepare(
                key, unpacked.chain_id, labels={GC_ROOT_LABEL: "container"}
            )
        except AlreadyExists:
            return await self._client.snapshots.mounts(key)


def _labelled(root: tuple[Mount, ...], spec: Mapping[str, Any]) -> tuple[Mount, ...]:
    """The root's files have the SELinux label of the runtime spec, if it has one."""
    label = spec["linux"].get("mountLabel")
    if not label:
        return root
    return tuple(replace(each, options=(*each.options, f'context="{label}"')) for each in root)


async def _all_of(one: Awaitable[A], two: Awaitable[B], three: Awaitable[C]) -> tuple[A, B, C]:
    """All three at the same time. A failure is raised when all have ended: none runs on unseen."""
    results = await asyncio.gather(one, two, three, return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return cast(tuple[A, B, C], tuple(results))
