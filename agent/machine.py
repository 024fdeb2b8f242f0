"""The machine put together: containerd, networks, images, volumes, and the host floor over them.

``app`` puts the engine and the doors on top of it. What an agent that was killed left, and what the
state store lost, is looked for here, before anything else happens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent.aws import Aws
from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.engine.bell import Bell
from agent.engine.store import Store
from agent.host.cgroups.kernel import Cgroups
from agent.host.cgroups.tasks import TaskCgroups, open_cgroups
from agent.host.checkup.doctor import Doctor
from agent.host.checkup.subject import Subject
from agent.host.containerds import own_root, own_socket, own_state, shared_containerd
from agent.host.containers import probes
from agent.host.containers.lifecycle import Containers, RuntimeSettings
from agent.host.containers.runtimes import Runtimes, load_runtimes
from agent.host.credentials import TaskCredentials
from agent.host.host import RealHost
from agent.host.images.opening import Imagery, open_images
from agent.host.images.stock import usage
from agent.host.images.stock.retention import Needed
from agent.host.keyring import Keyrings
from agent.host.leftovers.strays import Stray, Strays
from agent.host.logrouter import LogRouter
from agent.host.namespaces.provider import open_namespaces
from agent.host.network.metadata_sockets import HOST_OWNER, MetadataFront, Place
from agent.host.network.networking import Networking, open_networking
from agent.host.private.privacy import open_privacy
from agent.host.secrets import Secrets
from agent.host.standins import secret_folders
from agent.host.volumes.opening import Volumes, open_volumes
from agent.recovery import recover
from agent.registry.logins import engine_auth
from agent.registry.logins.docker_config import DockerConfig
from agent.registry.logins.ecr import Ecr
from agent.service.ending import Ending, Stopping
from agent.settings import Settings
from agent.task import names
from agent.task.names import Names
from agent.task.records import Provision
from agent.telling.credentials import aws_region
from agent.telling.side import Telling
from metadata.source import Owner

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """What settings say of runtimes and cgroups, found to be there."""

    runtimes: Runtimes
    cgroups: TaskCgroups


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts that others need. ``links`` rings when an interface comes or goes."""

    client: Containerd
    embedded: EmbeddedContainerd | None
    networking: Networking
    links: Bell
    images: Imagery
    volumes: Volumes
    doctor: Doctor
    host: RealHost

    def background(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What must run meanwhile, each with a name."""
        yield "firewall", self.networking.guard()
        yield "images", self.images.cleaner.run()
        if self.embedded is not None:
            yield "containerd", self.embedded.run()


def ground(settings: Settings) -> Ground:
    """What is wrong with it costs no start. Blocking. Raises ConfigError, CgroupError."""
    return Ground(load_runtimes(settings), open_cgroups(settings, Cgroups()))


@asynccontextmanager
async def open_machine(
    settings: Settings,
    on: Ground,
    store: Store,
    telling: Telling,
    front: MetadataFront,
    stopping: Stopping,
) -> AsyncIterator[Machine]:
    """All of it meanwhile. Tasks that the store had lost are in it again."""
    async with AsyncExitStack() as stack:
        client, embedded = await open_containerd(settings, stopping, stack)
        await client.namespaces.ensure(settings.containerd_namespace)
        router = LogRouter(settings.run_dir)
        await router.begin()  # it takes a while, and nothing needs it before the end of this
        stack.push_async_callback(router.leave)
        await probes.end_left(client, settings.names)
        strays = strays_on(settings, client, router, on.cgroups)
        unknown, links = await recover(store, strays, time.time()), Bell()
        networking = await stack.enter_async_context(
            _networking(settings, store, front, links.ring, unknown)
        )
        keyrings = _keyrings(settings, telling, stack)
        images = await stack.enter_async_context(
            open_images(settings, client, keyrings, lambda: _needed(store))
        )
        volumes = await asyncio.to_thread(
            open_volumes, settings, aws_region(settings), store.open_tasks
        )
        privacy = open_privacy(settings, keyrings.secrets, keyrings.execution_keys)
        runtime = _runtime(settings, on.runtimes)
        containers = Containers(
            *(client, images.here, router, settings.names, on.cgroups, runtime, privacy),
            metadata=telling.files,
        )
        host = RealHost(
            client,
            containers,
            images.containers,
            networking.sandboxes,
            networking.interfaces,
            on.cgroups,
            settings.names,
            TaskCredentials(telling.credentials.vault),
            providers={
                Provision.VOLUMES: volumes.provider,
                Provision.NAMESPACES: open_namespaces(
                    client, settings.names, on.cgroups, runtime, containers.processes
                ),
                Provision.SECRETS: privacy.keeper,
            },
        )
        doctor = Doctor(Subject(settings), client, networking, on.cgroups, strays)
        await router.ensure_running()
        yield Machine(client, embedded, networking, links, images, volumes, doctor, host)


async def open_containerd(
    settings: Settings, stopping: Stopping, stack: AsyncExitStack
) -> tuple[Containerd, EmbeddedContainerd | None]:
    """A client of the containerd that the settings name, and that itself where it is our own."""
    socket, embedded = await asyncio.to_thread(shared_containerd, settings), None
    if socket is None:
        embedded = await _embedded(settings, stopping, stack)
        socket = embedded.socket
    client = Containerd(socket, settings.containerd_namespace, snapshotter=settings.snapshotter)
    return await stack.enter_async_context(client), embedded


def strays_on(
    settings: Settings, client: Containerd, router: LogRouter, cgroups: TaskCgroups
) -> Strays:
    """Who finds what is left of tasks on this host."""
    root = "" if cgroups.root.systemd else cgroups.root.path
    return Strays(client, router, cgroups.kernel, settings.names, root)


def _runtime(settings: Settings, runtimes: Runtimes) -> RuntimeSettings:
    return RuntimeSettings(
        runtimes=runtimes,
        create_timeout_s=settings.create_timeout_s,
        start_timeout_s=settings.start_timeout_s,
        region=aws_region(settings),
        cdi_dirs=settings.cdi_dirs,
    )


def _needed(store: Store) -> Needed:
    """The images that tasks refer to which are not forgotten."""
    return usage.needed((each.task, store.progress(key)) for key, each in store.intents.items())


async def _embedded(
    settings: Settings, stopping: Stopping, stack: AsyncExitStack
) -> EmbeddedContainerd:
    """Our own containerd, started; it ends with ``stack`` unless there is a successor."""
    embedded = EmbeddedContainerd(own_root(settings), own_state(settings), own_socket(settings))
    await embedded.start()

    async def end() -> None:
        if stopping.how is Ending.SUCCESSOR:
            embedded.release()
        else:
            await embedded.stop()

    stack.push_async_callback(end)
    return embedded


@asynccontextmanager
async def _networking(
    settings: Settings,
    store: Store,
    front: MetadataFront,
    ring: Callable[[], None],
    unknown: Collection[Stray],
) -> AsyncIterator[Networking]:
    """``unknown`` keep what they have of it."""
    async with open_networking(settings, front, ring) as networking:
        alive = [*_alive(store), *(each for stray in unknown for each in stray.sandboxes)]
        tasks = [*store.open_tasks, *(stray.task_id for stray in unknown)]
        for orphan in await networking.remove_orphans(alive, tasks):
            log.warning("removed what a task that is gone had left: %s", orphan)
        await networking.open_firewall()
        try:
            yield networking
        finally:
            there = (settings.names.netns_of(each).exists() for each in alive)
            if not any(_alive(store)) and not any(there):
                await networking.remove()


def places(of: Names, store: Store) -> Iterator[Place]:
    """The sandboxes that are attached: whose sockets an earlier agent may have left."""
    for task_id in store.open_tasks:
        task, progress = store.intents[task_id].task, store.progress(task_id)
        on_host = task.definition.network_mode == "host"
        for each in task.sandboxes:
            if not progress.networks[each].attached:
                continue
            key = names.container_id(task_id, each)
            if on_host:
                yield Place(key, HOST_OWNER, None)
            else:
                yield Place(key, Owner(task_id), of.netns(task_id, each))


def _alive(store: Store) -> Iterator[str]:
    """The ids of all sandboxes of which something may be left on the host."""
    for task_id in store.open_tasks:
        task = store.intents[task_id].task
        yield from (names.container_id(task_id, each) for each in task.sandboxes)


def _keyrings(settings: Settings, telling: Telling, stack: AsyncExitStack) -> Keyrings:
    aws = Aws()
    stack.callback(aws.close)
    return Keyrings(
        docker=DockerConfig(settings.docker_config),
        engine=engine_auth.read(settings.engine_auth_type, settings.engine_auth_data),
        ecr=Ecr(aws),
        secrets=Secrets(secret_folders(settings.secrets_dir), aws, aws_region(settings)),
        execution_keys=TaskCredentials(telling.credentials.vault).execution_keys,
    )
