"""The composition root: from settings to objects to one group of tasks, and the way down again.

The only module that sees all floors. SIGTERM ends the agent and nothing else: containers, their
logs and their network go on, and the next agent takes them up. After SIGUSR2 that is the same
process.

What answers metadata is up first and down last: between two agents requests wait at the sockets.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import VERSION
from agent.aws import Aws
from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.containerd.events import Gap
from agent.containerd.payloads import TaskExit
from agent.doors import keys
from agent.doors.admission import NetworkRules
from agent.doors.api import Api, Door
from agent.doors.cni import PluginServer
from agent.doors.extensions import Office
from agent.doors.images.room import ImageRoom
from agent.doors.operations import Desk
from agent.doors.placing import Placing
from agent.doors.tcp import TcpDoor
from agent.doors.unix import UnixDoor
from agent.ending import Ending, Stopping
from agent.engine.bell import Bell
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet, show
from agent.engine.store import Store
from agent.engine.wallclock import uptime
from agent.host import resources
from agent.host.cgroups import Cgroups
from agent.host.checks import Doctor
from agent.host.containers import Containers, RuntimeSettings
from agent.host.credentials import TaskCredentials
from agent.host.gpus.inventory import Gpus
from agent.host.host import RealHost
from agent.host.images.opening import Imagery, open_images
from agent.host.images.policy import POLICIES
from agent.host.images.stock import usage
from agent.host.images.stock.cleaning import Cleaner
from agent.host.images.stock.retention import Needed
from agent.host.keyring import Keyrings
from agent.host.logrouter import LogRouter
from agent.host.metadata_sockets import HOST_OWNER, MetadataFront, Place, taken_up
from agent.host.namespaces.provider import open_namespaces
from agent.host.networking import Networking, open_networking
from agent.host.private.privacy import Privacy, open_privacy
from agent.host.runtimes import Runtimes, load_runtimes
from agent.host.secrets import Secrets
from agent.host.socketstore import SocketStore
from agent.host.standins import secret_folders
from agent.host.strays import Stray, Strays
from agent.host.taskcgroups import TaskCgroups, open_cgroups
from agent.host.volumes.opening import Volumes, open_volumes
from agent.interruption import Interruption
from agent.notify import notify
from agent.recovery import recover
from agent.registry.logins import engine_auth
from agent.registry.logins.docker_config import DockerConfig
from agent.registry.logins.ecr import Ecr
from agent.settings import Settings
from agent.task import names
from agent.task.names import Names
from agent.task.records import Provision
from agent.task.stopping import Rules
from agent.telling.credentials import aws_region
from agent.telling.side import Telling, open_telling
from metadata.source import Owner

log = logging.getLogger(__name__)

HOST_CONTAINERD = Path("/run/containerd/containerd.sock")
EXIT_TOPICS = ("/tasks/exit", "/tasks/oom")
"""The rest of what containerd tells is of our own doing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent runs, put together."""

    store: Store
    telling: Telling
    fleet: Fleet
    client: Containerd
    embedded: EmbeddedContainerd | None
    networking: Networking
    links: Bell
    cleaner: Cleaner
    api: Api
    doors: tuple[Door, ...]
    interruption: Interruption

    def background(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What must run meanwhile, each with a name, beside the fleet."""
        yield "events", _listen(self.client, self.fleet)
        yield "firewall", self.networking.guard()
        yield "links", _await_links(self.links, self.fleet)
        yield "images", self.cleaner.run()
        yield from self.telling.background()
        yield from self.interruption.background()
        if self.embedded is not None:
            yield "containerd", self.embedded.run()


async def run(settings: Settings, kept: SocketStore) -> Ending:
    """Runs the agent until SIGTERM, SIGINT or SIGUSR2. Raises what keeps it from starting.

    ``kept`` are the metadata sockets that outlive it.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a dozen files per container
    stopping = Stopping()
    stopping.listen()
    async with AsyncExitStack() as stack:
        parts = await _assembled(settings, kept, stopping, stack)
        await _run(parts, settings, stopping)
    log.info("hostler has ended; tasks run on")
    return stopping.how or Ending.EXIT


async def _assembled(
    settings: Settings, kept: SocketStore, stopping: Stopping, stack: AsyncExitStack
) -> Parts:
    """All parts, ready to run. What has an end ends with ``stack``, in the reverse order."""
    runtimes = await asyncio.to_thread(load_runtimes, settings)
    cgroups = await asyncio.to_thread(open_cgroups, settings, Cgroups())
    stack.callback(cgroups.remove_root)  # whatever keeps the agent from starting
    store, feed = Store(settings.state_dir / "state.db"), Feed()
    await store.open()
    stack.push_async_callback(store.close)
    show(store, feed)
    telling = await stack.enter_async_context(open_telling(settings, feed))
    front = await taken_up(telling.endpoint, kept, _places(settings.names, store))
    remote = await asyncio.to_thread(_remote_door, settings)
    for each in remote:
        stack.callback(each.close)
    embedded = await _embedded(settings, stopping, stack)
    client = await stack.enter_async_context(
        Containerd(
            embedded.socket if embedded else _host_socket(settings),
            settings.containerd_namespace,
            snapshotter=settings.snapshotter,
        )
    )
    await client.namespaces.ensure(settings.containerd_namespace)
    router = LogRouter(settings.run_dir)
    await router.ensure_running()
    stack.push_async_callback(router.stop_if_idle)
    links = Bell()
    root = "" if cgroups.root.systemd else cgroups.root.path
    strays = Strays(client, router, cgroups.kernel, settings.names, root)
    unknown = await recover(store, strays, time.time())
    show(store, feed)
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
    host = _host(
        settings, client, images, router, networking, telling, runtimes, cgroups, privacy, volumes
    )
    capacity = resources.capacity(settings, networking.interfaces.provider.limit)
    fleet = Fleet(host, store, feed, time.time, _plan_rules(settings), capacity, steady=uptime)
    telling.open_agent_api(fleet, networking)
    desk = Desk(
        *(settings, store, fleet, feed, time.time, _rules(networking)),
        placing=Placing(runtimes, cgroups.root, cgroups.kernel.version),
        gpus=Gpus(settings.gpus, settings.cdi_dirs, settings.gpu_kind),
    )
    doctor = Doctor(networking, runtimes, cgroups, strays)
    office = Office(settings.names, _room(images), networking.networks, doctor, volumes.sharing)
    api = Api(desk, office)
    doors = (UnixDoor(settings.api_socket), *remote)
    return Parts(
        store,
        telling,
        fleet,
        client,
        embedded,
        networking,
        links,
        images.cleaner,
        api,
        doors,
        Interruption(settings, store, fleet, feed),
    )


def _needed(store: Store) -> Needed:
    """The images that tasks refer to which are not forgotten."""
    return usage.needed((each.task, store.progress(key)) for key, each in store.intents.items())


def _room(images: Imagery) -> ImageRoom:
    return ImageRoom(
        shelves=images.inventory,
        cleaner=images.cleaner,
        loader=images.here,
        puller=images.by_hand,
        saver=images.saver,
        pulls=images.pulls,
    )


async def _run(parts: Parts, settings: Settings, stopping: Stopping) -> None:
    fleet = parts.fleet.run(settings.keep_stopped_s, settings.keep_stopped_jitter_s)
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(fleet, name="fleet"),
            *(group.create_task(work, name=name) for name, work in parts.background()),
        ]
        async with (
            parts.api.serving(*parts.doors),
            _plugins(parts.networking),
            parts.telling.introspection(parts.client, parts.store, parts.fleet),
        ):
            where = " and ".join(map(str, parts.doors))
            log.info("hostler %s serves %s", VERSION, where)
            notify(f"READY=1\nSTATUS=serving {where}")
            await stopping.asked()
            notify("STOPPING=1" if stopping.how is Ending.EXIT else "RELOADING=1")
            parts.telling.endpoint.end()
        for each in background:
            each.cancel()


def _plugins(networking: Networking) -> PluginServer:
    """Where the plugins' executables find an agent that has all loaded already."""
    thread = networking.thread
    return PluginServer(
        networking.settings.run_dir / "cni.sock",
        lambda work: thread.run(lambda _: work()),
        lambda: nullcontext(thread.context),
    )


def _rules(networking: Networking) -> NetworkRules:
    """What RunTask may name. EC2 knows its own security groups."""
    subnets = networking.interfaces.provider.subnets
    ec2 = networking.settings.eni_provider == "ec2"
    return NetworkRules(subnets or None, None if ec2 else networking.groups.names)


def _plan_rules(settings: Settings) -> Rules:
    return Rules(
        stop_timeout_s=settings.stop_timeout_s,
        interface_timeout_s=settings.eni_timeout_s,
        pull_upfront=settings.pull_upfront,
        pull_strict=not POLICIES[settings.pull_behavior].falls_back,
    )


def _remote_door(settings: Settings) -> tuple[Door, ...]:
    """The one over TCP, if there is to be one. Early: what is wrong with it costs no start."""
    if settings.api_listen is None:
        return ()
    return (TcpDoor(settings.api_listen, keys.ensure(settings.credentials), time.time),)


async def _embedded(
    settings: Settings, stopping: Stopping, stack: AsyncExitStack
) -> EmbeddedContainerd | None:
    """Our own containerd, started, where the host's is not to be used or is not there."""
    shared = settings.containerd == "auto" and await asyncio.to_thread(HOST_CONTAINERD.exists)
    if shared or settings.containerd.startswith("/"):
        return None
    root, state = settings.state_dir / "containerd", settings.run_dir / "containerd"
    embedded = EmbeddedContainerd(root, state, state / "containerd.sock")
    await embedded.start()

    async def end() -> None:
        if stopping.how is Ending.SUCCESSOR:
            embedded.release()
        else:
            await embedded.stop()

    stack.push_async_callback(end)
    return embedded


def _host_socket(settings: Settings) -> Path:
    return HOST_CONTAINERD if settings.containerd == "auto" else Path(settings.containerd)


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


def _places(of: Names, store: Store) -> Iterator[Place]:
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


def _host(
    settings: Settings,
    client: Containerd,
    images: Imagery,
    router: LogRouter,
    networking: Networking,
    telling: Telling,
    runtimes: Runtimes,
    cgroups: TaskCgroups,
    privacy: Privacy,
    volumes: Volumes,
) -> RealHost:
    runtime = RuntimeSettings(
        runtimes=runtimes,
        create_timeout_s=settings.create_timeout_s,
        start_timeout_s=settings.start_timeout_s,
        region=aws_region(settings),
        cdi_dirs=settings.cdi_dirs,
    )
    containers = Containers(
        client, images.here, router, settings.names, cgroups, runtime, privacy, telling.files
    )
    return RealHost(
        client,
        containers,
        images.containers,
        networking.sandboxes,
        networking.interfaces,
        cgroups,
        settings.names,
        TaskCredentials(telling.credentials.vault),
        providers={
            Provision.VOLUMES: volumes.provider,
            Provision.NAMESPACES: open_namespaces(client, settings.names, cgroups, runtime),
            Provision.SECRETS: privacy.keeper,
        },
    )


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


async def _await_links(links: Bell, fleet: Fleet) -> None:
    """Rings for the tasks that wait for an interface when one of the host comes or goes."""
    while True:
        await links.wait(None, time.time)
        fleet.ring_waiting()


async def _listen(client: Containerd, fleet: Fleet) -> None:
    """Rings for every exit of a container's first process, and for all after a gap."""
    async with aclosing(client.events.subscribe(EXIT_TOPICS)) as events:
        async for event in events:
            match event:
                case Gap(why):
                    log.debug("containerd's events: %s", why)
                    fleet.ring_all()
                case _ if isinstance(event.payload, TaskExit) and event.payload.exec_id == "":
                    fleet.ring(event.payload.container_id)
                case _:
                    pass
