"""The composition root: from settings to objects to one group of tasks, and the way down again.

The only module that sees all floors. SIGTERM ends the agent and nothing else: containers, their
logs and their network go on, and the next agent takes them up. After SIGHUP that is the same
process.

What answers metadata is up first and down last: between two agents requests wait at the sockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any

from agent import VERSION
from agent.config import Loaded
from agent.containerd.client import Containerd
from agent.containerd.events import Gap
from agent.containerd.payloads import TaskExit
from agent.doors import keys
from agent.doors.admission import NetworkRules
from agent.doors.api import Api, Door
from agent.doors.cni import PluginServer
from agent.doors.desk import Desk
from agent.doors.extensions import Office
from agent.doors.images.room import ImageRoom
from agent.doors.listening import refuse_taken
from agent.doors.placing import Placing
from agent.doors.tcp import TcpDoor
from agent.doors.unix import GROUP, UnixDoor
from agent.engine.bell import Bell
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet, show
from agent.engine.store import Store
from agent.engine.wallclock import uptime
from agent.host import resources
from agent.host.gpus.inventory import Gpus
from agent.host.images.opening import Imagery
from agent.host.images.policy import POLICIES
from agent.host.network.metadata_sockets import taken_up
from agent.host.network.networking import Networking
from agent.host.network.socketstore import SocketStore
from agent.interruption import Interruption
from agent.machine import Machine, ground, open_machine, places
from agent.service import watchdog
from agent.service.ending import Ending, Stopping
from agent.service.notify import notify
from agent.service.renewal import until_ended
from agent.service.secrecy import forbid_dumps
from agent.settings import Settings
from agent.task.stopping import Rules
from agent.telling.side import Telling, open_telling

log = logging.getLogger(__name__)

EXIT_TOPICS = ("/tasks/exit", "/tasks/oom")
"""The rest of what containerd tells is of our own doing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent runs, put together."""

    store: Store
    telling: Telling
    fleet: Fleet
    machine: Machine
    api: Api
    doors: tuple[Door, ...]
    interruption: Interruption

    def background(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What must run meanwhile, each with a name, beside the fleet."""
        yield "events", _listen(self.machine.client, self.fleet)
        yield "links", _await_links(self.machine.links, self.fleet)
        yield from self.machine.background()
        yield from self.telling.background()
        yield from self.interruption.background()


async def run(settings: Settings, kept: SocketStore, check: Callable[[], Loaded]) -> Ending:
    """Runs the agent until a signal ends it. Raises what keeps it from starting.

    ``kept`` are the metadata sockets that outlive it, ``check`` gives what a successor would be
    configured with, or raises ConfigError.
    """
    forbid_dumps()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a dozen files per container
    stopping = Stopping()
    stopping.listen()
    store = Store(settings.state_dir / "state.db")
    async with asyncio.TaskGroup() as minding:
        every_s = watchdog.interval_s(os.environ)
        telling = minding.create_task(
            watchdog.keep_telling(every_s, store.answers), name="watchdog"
        )
        async with AsyncExitStack() as stack:
            parts = await _assembled(settings, store, kept, stopping, stack)
            await _run(parts, settings, stopping, check)
        telling.cancel()
    notify(watchdog.PING)  # a successor has the whole time
    log.info("hostler has ended; tasks run on")
    return stopping.how or Ending.EXIT


async def _assembled(
    settings: Settings, store: Store, kept: SocketStore, stopping: Stopping, stack: AsyncExitStack
) -> Parts:
    """All parts, ready to run. What has an end ends with ``stack``, in the reverse order."""
    floor = await asyncio.to_thread(ground, settings)
    stack.callback(floor.cgroups.remove_root)  # whatever keeps the agent from starting
    feed = Feed()
    await store.open()
    stack.push_async_callback(store.close)
    show(store, feed)
    telling = await stack.enter_async_context(open_telling(settings, feed))
    front = await taken_up(telling.endpoint, kept, places(settings.names, store))
    remote = await asyncio.to_thread(_remote_door, settings)
    for each in remote:
        stack.callback(each.close)
    machine = await stack.enter_async_context(
        open_machine(settings, floor, store, telling, front, stopping)
    )
    show(store, feed)  # it may have found tasks that the store had lost
    networking = machine.networking
    capacity = resources.capacity(settings, networking.interfaces.provider.limit)
    fleet = Fleet(
        machine.host, store, feed, time.time, _plan_rules(settings), capacity, steady=uptime
    )
    telling.open_agent_api(fleet, networking)
    desk = Desk(
        *(settings, store, fleet, feed, time.time, _rules(networking)),
        placing=Placing(floor.runtimes, floor.cgroups.root, floor.cgroups.kernel.version),
        gpus=Gpus(settings.gpus, settings.cdi_dirs, settings.gpu_kind),
    )
    office = Office(
        settings.names,
        _room(machine.images),
        networking.networks,
        machine.doctor,
        machine.volumes.sharing,
    )
    here = await asyncio.to_thread(UnixDoor, settings.api_socket, GROUP)
    doors = (here, *remote)
    interruption = Interruption(settings, store, fleet, feed)
    return Parts(store, telling, fleet, machine, Api(desk, office), doors, interruption)


def _room(images: Imagery) -> ImageRoom:
    return ImageRoom(
        shelves=images.inventory,
        cleaner=images.cleaner,
        loader=images.here,
        puller=images.by_hand,
        saver=images.saver,
        pulls=images.pulls,
    )


async def _run(
    parts: Parts, settings: Settings, stopping: Stopping, check: Callable[[], Loaded]
) -> None:
    def check_successor() -> None:
        refuse_taken(check().settings, settings)

    fleet = parts.fleet.run(settings.keep_stopped_s, settings.keep_stopped_jitter_s)
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(fleet, name="fleet"),
            *(group.create_task(work, name=name) for name, work in parts.background()),
        ]
        async with (
            parts.api.serving(*parts.doors),
            _plugins(parts.machine.networking),
            parts.telling.introspection(parts.machine.client, parts.store, parts.fleet),
        ):
            where = " and ".join(map(str, parts.doors))
            log.info("hostler %s serves %s", VERSION, where)
            notify(f"READY=1\nSTATUS=serving {where}")
            await until_ended(stopping, check_successor, f"serving {where}")
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
