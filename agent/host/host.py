"""The host as the engine sees it: ``look`` gathers the view, ``act`` finds who carries it out.

``act`` is also where failures become results: what may pass is tried *again*, what can't is
*never*, with the name that ECS gives to such an error.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, DeadlineExceeded, Unavailable
from agent.host.cgroups.kernel import CgroupError
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers import metadata_files, probes, refusals, shims
from agent.host.containers.lifecycle import Containers
from agent.host.credentials import TaskCredentials
from agent.host.images.fetching import PullFailed
from agent.host.images.local import ImageMissing
from agent.host.images.obtaining import ContainerImages
from agent.host.images.stock import usage
from agent.host.interfaces.desk import Interfaces
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.host.logrouter import LogRouterError
from agent.host.network.sandbox import Sandboxes
from agent.host.network.securitygroups import SecurityGroupError
from agent.host.provisions import Provider, ProvisionError, ProvisionUnavailable
from agent.host.volumes import binding
from agent.oci.errors import SpecError
from agent.task import names, provisions
from agent.task.actions import (
    AcquireInterface,
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    ForgetTask,
    Never,
    ObtainCredentials,
    ObtainImage,
    Probe,
    Provide,
    ReleaseInterface,
    ReleaseTask,
    RestartContainer,
    Result,
    ServeMetadata,
    Signal,
    StartContainer,
    TakeBack,
    WithdrawCredentials,
)
from agent.task.model import Progress, Task
from agent.task.names import Names
from agent.task.records import Provision
from agent.task.story import about
from agent.task.view import Absent, ContainerSeen, Look, Running, Seen, Unknown, View
from cni.errors import CNIError, PortTaken
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable

log = logging.getLogger(__name__)

_PASSES = (Unavailable, LogRouterError)
"""Failures of a helper process that may be back in a moment."""

_OfContainer = CreateContainer | StartContainer | RestartContainer | Signal | DeleteContainer
_OfTask = ReleaseTask | ForgetTask | ObtainCredentials | WithdrawCredentials | Provide | TakeBack


@dataclass(frozen=True, slots=True)
class RealHost:
    """This machine (``engine.supervisor.Host``)."""

    client: Containerd
    containers: Containers
    images: ContainerImages
    sandboxes: Sandboxes
    interfaces: Interfaces
    cgroups: TaskCgroups
    names: Names
    credentials: TaskCredentials
    providers: Mapping[Provision, Provider] = field(default_factory=dict)

    async def look(self, task: Task, progress: Progress) -> View:
        """One look at every piece of the task; those that can't be looked at are Unknown."""
        every = [each.name for each in task.definition.container_definitions]
        looks = await asyncio.gather(*(self._container(task, progress, each) for each in every))
        there = self.names.task_dir(task.id).exists()
        provided = {kind: await self.providers[kind].look(task) for kind in provisions.needed(task)}
        if task.definition.pid_mode == "task" and provided[Provision.NAMESPACES] == Absent():
            looks = [_bereft(each) for each in looks]
        return View(
            task=Seen(None) if there else Absent(),
            networks={each: self.sandboxes.look(task, progress, each) for each in task.sandboxes},
            containers=dict(zip(every, looks, strict=True)),
            interface=self.interfaces.look(task, progress),
            credentials=self.credentials.look(task),
            provisions=provided,
        )

    async def act(self, task: Task, progress: Progress, action: Action) -> Result:
        """Makes it so. Expected failures are results; anything else is a bug and is raised."""
        try:
            return await self._act(task, progress, action)
        except (*_PASSES, DeadlineExceeded, ContainerdError, CNIError, OSError) as error:
            return _classified(task, action, error)
        except (InterfacesExhausted, CredentialsUnavailable, ProvisionUnavailable) as error:
            return Again(str(error))
        except ProvisionError as error:
            return Never(error.name, str(error))
        except (InterfaceError, SecurityGroupError, CredentialsError) as error:
            return Never("ResourceInitializationError", str(error))
        except SpecError as error:
            return Never("CannotCreateContainerError", str(error))
        except CgroupError as error:
            return Never("CgroupError", str(error))
        except ImageMissing as error:
            return Never("CannotPullContainerError", str(error))
        except PullFailed as error:
            return Never(error.name, str(error))

    async def _container(self, task: Task, progress: Progress, name: str) -> Look[ContainerSeen]:
        try:
            return await self.containers.look(task, progress, name)
        except ContainerdError as error:
            told = "can't look at container %s of task %s: %s"
            log.debug(told, name, task.id, error, extra=about(task, name))
            return Unknown(str(error))

    async def _act(self, task: Task, progress: Progress, action: Action) -> Result:
        match action:
            case ObtainImage(name):
                return Done(await self.images.obtain(task, name, progress))
            case AcquireInterface():
                return Done(await self.interfaces.acquire(task))
            case ReleaseInterface():
                await self.interfaces.release(task)
            case AttachNetwork(sandbox):
                return Done(await self.sandboxes.attach(task, sandbox, progress.interface))
            case ServeMetadata(sandbox):
                await self.sandboxes.serve(task, sandbox)
            case DetachNetwork(sandbox):
                await self.sandboxes.detach(task, sandbox)
            case Probe(name):
                return await self._probe(task, name)
            case ReleaseTask() | ForgetTask() | ObtainCredentials() | WithdrawCredentials():
                await self._act_on_task(task, progress, action)
            case Provide() | TakeBack():
                await self._act_on_task(task, progress, action)
            case _:
                await self._act_on_container(task, progress, action)
        return Done()

    async def _act_on_task(
        self,
        task: Task,
        progress: Progress,
        action: _OfTask,
    ) -> None:
        match action:
            case Provide(kind):
                await self.providers[kind].provide(task)
            case TakeBack(kind):
                await self.providers[kind].take_back(task)
            case ReleaseTask():
                await self.containers.release(task)
                for kind in provisions.needed(task):
                    await self.providers[kind].take_back(task)  # what was never there whole
                await asyncio.to_thread(self._release, task)
            case ForgetTask():
                await usage.note_end(self.client, task, progress, time.time())
                self.containers.forget(task)
                await asyncio.to_thread(self._forget, task)
            case ObtainCredentials():
                await self.credentials.obtain(task)
            case WithdrawCredentials():
                self.credentials.withdraw(task)

    async def _act_on_container(
        self,
        task: Task,
        progress: Progress,
        action: _OfContainer,
    ) -> None:
        match action:
            case CreateContainer(name):
                await asyncio.to_thread(self._ensure_task, task)
                await self.containers.create(task, name, progress)
            case StartContainer(name):
                await self.containers.start(task, name)
            case RestartContainer(name):
                await asyncio.to_thread(self._ensure_task, task)
                await self.containers.restart(task, name, progress)
            case Signal(name, number):
                await self.containers.signal(task, name, number)
            case DeleteContainer(name):
                await self.containers.delete(task, name, progress)

    async def _probe(self, task: Task, name: str) -> Result:
        check = task.container(name).health_check
        if check is None:
            return Done()
        privacy = self.containers.privacy
        return Done(await probes.probe(self.client, self.names, privacy, task, name, check))

    def _ensure_task(self, task: Task) -> None:
        """The task's directory, which stands for all that is the task's own, and its cgroup."""
        self.names.task_dir(task.id).mkdir(parents=True, exist_ok=True, mode=0o711)
        self.cgroups.ensure(task)

    def _release(self, task: Task) -> None:
        groups = (task.id, *names.container_ids(task))
        shims.remove_sockets(self.client.namespace, self.client.socket, groups)
        self.cgroups.remove(task)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.names.task_dir(task.id))

    def _forget(self, task: Task) -> None:
        binding.remove(task, self.names)
        metadata_files.remove(task, self.names)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.names.log(task.id, "any").parent)


def _bereft(look: Look[ContainerSeen]) -> Look[ContainerSeen]:
    """A container of a task whose PID namespace is gone: the kernel has killed what was in it."""
    match look:
        case Seen(ContainerSeen(Running.STOPPED, exit_code=137) as seen):
            return Seen(replace(seen, namespace_lost=True))
        case _:
            return look


def _classified(task: Task, action: Action, error: Exception) -> Result:
    """Whether the action is worth another try, and what ECS calls the failure if not."""
    why = error.said if isinstance(error, ContainerdError) else str(error)
    if isinstance(error, _PASSES):
        return Again(why)
    match action, error:
        case (ObtainImage(), DeadlineExceeded()):
            return Again(why)  # containerd hangs: registries have deadlines of their own
        case (ObtainImage(), _):
            return Never("CannotPullContainerError", why)
        case (AttachNetwork(), PortTaken()):
            return Never("CannotStartContainerError", why)
        case (AcquireInterface() | AttachNetwork(), _):
            return Never("ResourceInitializationError", why)
        case (CreateContainer() | StartContainer() | RestartContainer(), DeadlineExceeded()):
            return Never("DockerTimeoutError", why)
        case (CreateContainer(), OSError()):
            return Never("CannotCreateContainerError", why)
        case (CreateContainer(name) | StartContainer(name) | RestartContainer(name), _):
            why = refusals.explained(task.container(name), why)
            return Never("CannotStartContainerError", why)
        case _:
            return Again(why)
