"""The composition root: from settings to objects to one group of tasks, and the way down again.

The only module that sees all floors. SIGTERM ends the agent and nothing else: containers, their
logs and their network go on, and the next agent takes them up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent import VERSION
from agent.config import Settings
from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.containerd.events import Gap
from agent.containerd.payloads import TaskExit
from agent.doors import keys
from agent.doors.admission import Capacity
from agent.doors.api import Api, Door
from agent.doors.extensions import Office
from agent.doors.operations import Desk
from agent.doors.tcp import TcpDoor
from agent.doors.unix import UnixDoor
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet
from agent.engine.store import Store
from agent.feed_source import FeedSource
from agent.host.cgroups import Cgroups
from agent.host.containers import Containers, RuntimeSettings
from agent.host.host import RealHost
from agent.host.images import Images
from agent.host.logrouter import LogRouter
from agent.host.sandbox import NetworkSettings, Sandboxes
from agent.notify import notify
from agent.task import names
from agent.task.stopping import Rules
from metadata.listener import Listeners
from metadata.sampler import Sampler

log = logging.getLogger(__name__)

HOST_CONTAINERD = Path("/run/containerd/containerd.sock")
EXIT_TOPICS = ("/tasks/exit", "/tasks/oom")
"""The rest of what containerd tells is of our own doing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent runs, put together."""

    fleet: Fleet
    client: Containerd
    embedded: EmbeddedContainerd | None
    api: Api
    doors: tuple[Door, ...]


async def run(settings: Settings) -> None:
    """Runs the agent until SIGTERM or SIGINT. Raises what keeps it from starting."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        parts = await _assembled(settings, stack)
        await _run(parts, settings.keep_stopped_s, stopping)
    log.info("hostler has ended; tasks run on")


async def _assembled(settings: Settings, stack: AsyncExitStack) -> Parts:
    """All parts, ready to run. What has an end ends with ``stack``, in the reverse order."""
    store = Store(settings.state_dir / "state.db")
    await store.open()
    stack.push_async_callback(store.close)
    remote = await asyncio.to_thread(_remote_door, settings)
    for each in remote:
        stack.callback(each.close)
    embedded = await _embedded(settings, stack)
    client = await stack.enter_async_context(
        Containerd(
            embedded.socket if embedded else _host_socket(settings),
            settings.containerd_namespace,
            snapshotter=settings.snapshotter,
        )
    )
    await client.namespaces.ensure(settings.containerd_namespace)
    feed, router = Feed(), LogRouter(settings.run_dir)
    await router.ensure_running()
    stack.push_async_callback(router.stop_if_idle)
    cluster_arn = names.cluster_arn(settings.region, settings.account, settings.cluster)
    listeners = await stack.enter_async_context(
        _metadata(FeedSource(feed, settings.names, cluster_arn))
    )
    sandboxes = await stack.enter_async_context(_sandboxes(settings, store, listeners))
    images = Images(client, settings.state_dir / "spool")
    host = _host(settings, client, images, router, sandboxes)
    fleet = Fleet(host, store, feed, time.time, Rules(settings.stop_timeout_s))
    desk = Desk(settings, store, fleet, feed, time.time, _capacity())
    api = Api(desk, Office(settings.names, images))
    return Parts(fleet, client, embedded, api, (UnixDoor(settings.api_socket), *remote))


async def _run(parts: Parts, keep_stopped_s: float, stopping: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(parts.fleet.run(keep_stopped_s), name="fleet"),
            group.create_task(_listen(parts.client, parts.fleet), name="events"),
        ]
        if parts.embedded is not None:
            background.append(group.create_task(parts.embedded.run(), name="containerd"))
        async with parts.api.serving(*parts.doors):
            where = " and ".join(map(str, parts.doors))
            log.info("hostler %s serves %s", VERSION, where)
            notify(f"READY=1\nSTATUS=serving {where}")
            await stopping.wait()
            notify("STOPPING=1")
        for each in background:
            each.cancel()


def _capacity() -> Capacity:
    return Capacity(
        memory_mib=psutil.virtual_memory().total // 2**20,
        cpu_units=(os.cpu_count() or 1) * 1024,
    )


def _remote_door(settings: Settings) -> tuple[Door, ...]:
    """The one over TCP, if there is to be one. Early: what is wrong with it costs no start."""
    if settings.api_listen is None:
        return ()
    return (TcpDoor(settings.api_listen, keys.ensure(settings.credentials), time.time),)


async def _embedded(settings: Settings, stack: AsyncExitStack) -> EmbeddedContainerd | None:
    """Our own containerd, started, where the host's is not to be used or is not there."""
    shared = settings.containerd == "auto" and await asyncio.to_thread(HOST_CONTAINERD.exists)
    if shared or settings.containerd.startswith("/"):
        return None
    root, state = settings.state_dir / "containerd", settings.run_dir / "containerd"
    embedded = EmbeddedContainerd(root, state, state / "containerd.sock")
    await embedded.start()
    stack.push_async_callback(embedded.stop)
    return embedded


def _host_socket(settings: Settings) -> Path:
    return HOST_CONTAINERD if settings.containerd == "auto" else Path(settings.containerd)


@asynccontextmanager
async def _metadata(source: FeedSource) -> AsyncIterator[Listeners]:
    sampler = Sampler()
    listeners = Listeners(source, sampler)
    try:
        yield listeners
    finally:
        await listeners.close_all()
        sampler.close()


@asynccontextmanager
async def _sandboxes(
    settings: Settings, store: Store, listeners: Listeners
) -> AsyncIterator[Sandboxes]:
    network = NetworkSettings(
        bridge=settings.bridge,
        subnet=settings.bridge_subnet,
        table=settings.nft_table,
        port_range=settings.port_range,
    )
    sandboxes = Sandboxes(network, settings.names, listeners)
    try:
        await sandboxes.open(list(_alive(store)))
        try:
            yield sandboxes
        finally:
            if not any(_alive(store)):
                await sandboxes.remove_network()
                Cgroups().remove_if_empty(settings.cgroup_parent)
    finally:
        await sandboxes.close()


def _alive(store: Store) -> Iterator[str]:
    """The runtime's ids of all containers of which something may be left on the host."""
    for task_id, intent in store.intents.items():
        if not store.progress(task_id).closed:
            yield from (names.container_id(task_id, each.name) for each in intent.task.containers)


def _host(
    settings: Settings,
    client: Containerd,
    images: Images,
    router: LogRouter,
    sandboxes: Sandboxes,
) -> RealHost:
    cgroups = Cgroups()
    runtime = RuntimeSettings(
        runtime=settings.runtime,
        create_timeout_s=settings.create_timeout_s,
        start_timeout_s=settings.start_timeout_s,
    )
    containers = Containers(client, images, router, settings.names, cgroups, runtime)
    return RealHost(client, containers, images, sandboxes, cgroups, settings.names)


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
