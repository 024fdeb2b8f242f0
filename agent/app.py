"""The composition root: from settings to objects to one group of tasks, and the way down again.

The only module that sees all floors. SIGTERM ends the agent and nothing else: containers, their
logs and their network go on, and the next agent takes them up. After SIGUSR2 that is the same
process.

What answers metadata is up first and down last: between two agents requests wait at the sockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agent import VERSION, introspection
from agent.checkup import Checkup
from agent.config import Settings
from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.containerd.events import Gap
from agent.containerd.payloads import TaskExit
from agent.credentials import Credentials, aws_region, open_credentials
from agent.doors import keys
from agent.doors.admission import Capacity, NetworkRules
from agent.doors.api import Api, Door
from agent.doors.cni import PluginServer
from agent.doors.extensions import Office
from agent.doors.operations import Desk
from agent.doors.tcp import TcpDoor
from agent.doors.unix import UnixDoor
from agent.ending import Ending, Stopping
from agent.engine.bell import Bell
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet, show
from agent.engine.store import Store
from agent.feed_source import FeedSource
from agent.guardian import FleetGuardian
from agent.host.cgroups import Cgroups
from agent.host.checks import Doctor
from agent.host.containers import Containers, RuntimeSettings
from agent.host.credentials import TaskCredentials
from agent.host.faults import HostFaults
from agent.host.host import RealHost
from agent.host.images import Images
from agent.host.logrouter import LogRouter
from agent.host.metadata_files import MetadataFiles
from agent.host.metadata_sockets import HOST_OWNER, MetadataFront, Place, taken_up
from agent.host.networking import Networking, open_networking
from agent.host.socketstore import SocketStore
from agent.notify import notify
from agent.task import names
from agent.task.names import Names
from agent.task.stopping import Rules
from metadata.agentapi.faults import Faults
from metadata.agentapi.protection import Protection
from metadata.agentapi.room import AgentApi
from metadata.credentials.vault import Vault
from metadata.endpoint import Endpoint
from metadata.front.limits import Rate
from metadata.introspection.page import Introspection
from metadata.source import InstanceFacts, Owner
from metadata.stats.sampler import Sampler

log = logging.getLogger(__name__)

HOST_CONTAINERD = Path("/run/containerd/containerd.sock")
EXIT_TOPICS = ("/tasks/exit", "/tasks/oom")
"""The rest of what containerd tells is of our own doing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent runs, put together. ``port`` is where ``introspection`` answers."""

    fleet: Fleet
    client: Containerd
    endpoint: Endpoint
    embedded: EmbeddedContainerd | None
    networking: Networking
    vault: Vault
    links: Bell
    source: FeedSource
    sampler: Sampler
    api: Api
    doors: tuple[Door, ...]
    port: socket.socket | None
    introspection: Introspection
    follow_files: Callable[[], Coroutine[Any, Any, None]] | None


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
        await _run(parts, settings.keep_stopped_s, stopping)
    log.info("hostler has ended; tasks run on")
    return stopping.how or Ending.EXIT


async def _assembled(
    settings: Settings, kept: SocketStore, stopping: Stopping, stack: AsyncExitStack
) -> Parts:
    """All parts, ready to run. What has an end ends with ``stack``, in the reverse order."""
    store, feed = Store(settings.state_dir / "state.db"), Feed()
    await store.open()
    stack.push_async_callback(store.close)
    show(store, feed)
    source = FeedSource(
        feed, settings.names, _instance(settings), measured=not settings.metrics_disabled
    )
    sampler = Sampler(interval_s=settings.metrics_interval_s)
    stack.callback(sampler.close)
    credentials = await stack.enter_async_context(open_credentials(settings, source))
    endpoint = await stack.enter_async_context(_metadata(source, sampler, credentials, settings))
    front = await taken_up(endpoint, kept, _places(settings.names, store))
    remote = await asyncio.to_thread(_remote_door, settings)
    for each in remote:
        stack.callback(each.close)
    port = await asyncio.to_thread(introspection.open_port, settings)
    if port is not None:
        stack.callback(port.close)
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
    networking = await stack.enter_async_context(_networking(settings, store, front, links.ring))
    images = Images(client, settings.state_dir / "spool")
    files = _metadata_files(settings, source.instance)
    host = _host(settings, client, images, router, networking, files, credentials.vault)
    rules = Rules(settings.stop_timeout_s, settings.eni_timeout_s)
    fleet = Fleet(host, store, feed, time.time, rules)
    endpoint.open_agent_api(_agent_api(source, fleet, feed, networking))
    desk = Desk(settings, store, fleet, feed, time.time, _capacity(networking), _rules(networking))
    api = Api(desk, Office(settings.names, images, networking.networks, Doctor(networking)))
    doors = (UnixDoor(settings.api_socket), *remote)
    return Parts(
        fleet=fleet,
        client=client,
        endpoint=endpoint,
        embedded=embedded,
        networking=networking,
        vault=credentials.vault,
        links=links,
        source=source,
        sampler=sampler,
        api=api,
        doors=doors,
        port=port,
        introspection=Introspection(source, sampler, Checkup(client, store, fleet), endpoint.tally),
        follow_files=None if files is None else lambda: files.follow(source, feed),
    )


async def _run(parts: Parts, keep_stopped_s: float, stopping: Stopping) -> None:
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(parts.fleet.run(keep_stopped_s), name="fleet"),
            group.create_task(_listen(parts.client, parts.fleet), name="events"),
            group.create_task(parts.networking.guard(), name="firewall"),
            group.create_task(_await_links(parts.links, parts.fleet), name="links"),
            group.create_task(parts.sampler.run(parts.source), name="statistics"),
            group.create_task(parts.vault.run(), name="credentials"),
        ]
        if parts.embedded is not None:
            background.append(group.create_task(parts.embedded.run(), name="containerd"))
        if parts.follow_files is not None:
            background.append(group.create_task(parts.follow_files(), name="metadata files"))
        async with (
            parts.api.serving(*parts.doors),
            _plugins(parts.networking),
            introspection.serving(parts.port, parts.introspection.answer),
        ):
            where = " and ".join(map(str, parts.doors))
            log.info("hostler %s serves %s", VERSION, where)
            notify(f"READY=1\nSTATUS=serving {where}")
            await stopping.asked()
            notify("STOPPING=1" if stopping.how is Ending.EXIT else "RELOADING=1")
            parts.endpoint.end()
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


def _capacity(networking: Networking) -> Capacity:
    return Capacity(
        memory_mib=psutil.virtual_memory().total // 2**20,
        cpu_units=(os.cpu_count() or 1) * 1024,
        interfaces=networking.interfaces.provider.limit,
    )


def _rules(networking: Networking) -> NetworkRules:
    """What RunTask may name. EC2 knows its own security groups."""
    subnets = networking.interfaces.provider.subnets
    ec2 = networking.settings.eni_provider == "ec2"
    return NetworkRules(subnets or None, None if ec2 else networking.groups.names)


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
async def _metadata(
    source: FeedSource, sampler: Sampler, credentials: Credentials, settings: Settings
) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(
        source,
        sampler,
        Rate(*settings.metadata_rate),
        rooms=credentials.rooms,
        turned_away=credentials.audit.turned_away,
    )
    try:
        yield endpoint
    finally:
        await endpoint.close_all()


def _agent_api(source: FeedSource, fleet: Fleet, feed: Feed, networking: Networking) -> AgentApi:
    """What tasks may ask of the agent. Faults may take their time: not in the way of launches."""
    settings = networking.settings
    injector = HostFaults(networking.slow, settings.names, settings.faults_table)
    guardian = FleetGuardian(fleet, feed, time.time)
    return AgentApi(Protection(source, guardian), Faults(source, injector))


def _instance(settings: Settings) -> InstanceFacts:
    cluster_arn = names.cluster_arn(settings.region, settings.account, settings.cluster)
    return InstanceFacts(
        cluster=cluster_arn,
        arn=names.container_instance_arn(cluster_arn),
        version=VERSION,
        zone=settings.availability_zone,
        tags=settings.instance_tags,
    )


@asynccontextmanager
async def _networking(
    settings: Settings, store: Store, front: MetadataFront, ring: Callable[[], None]
) -> AsyncIterator[Networking]:
    async with open_networking(settings, front, ring) as networking:
        for orphan in await networking.remove_orphans(list(_alive(store)), store.open_tasks):
            log.warning("removed what a task that is gone had left: %s", orphan)
        await networking.open_firewall()
        try:
            yield networking
        finally:
            if not any(_alive(store)):
                await networking.remove()
                Cgroups().remove_if_empty(settings.cgroup_parent)


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


def _metadata_files(settings: Settings, instance: InstanceFacts) -> MetadataFiles | None:
    if not settings.metadata_files:
        return None
    return MetadataFiles(settings.names, instance, settings.availability_zone)


def _host(
    settings: Settings,
    client: Containerd,
    images: Images,
    router: LogRouter,
    networking: Networking,
    files: MetadataFiles | None,
    vault: Vault,
) -> RealHost:
    cgroups = Cgroups()
    runtime = RuntimeSettings(
        runtime=settings.runtime,
        create_timeout_s=settings.create_timeout_s,
        start_timeout_s=settings.start_timeout_s,
        region=aws_region(settings),
    )
    containers = Containers(client, images, router, settings.names, cgroups, runtime, files)
    return RealHost(
        client,
        containers,
        images,
        networking.sandboxes,
        networking.interfaces,
        cgroups,
        settings.names,
        TaskCredentials(vault),
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
