"""The API in front of a real store, feed and fleet, over hosts in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent.doors.admission import NetworkRules
from agent.doors.api import Api
from agent.doors.desk import Desk
from agent.doors.extensions import Office
from agent.doors.sigv4 import Key
from agent.doors.tcp import TcpDoor
from agent.doors.unix import UnixDoor
from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import Store
from agent.host.checkup.doctor import Alive
from agent.host.checkup.outcomes import Finding, Outcome
from agent.host.images.pulls import Pulls
from agent.host.network import networks as host_networks
from agent.host.volumes.shared import SharedVolumes
from agent.host.volumes.sharing import Sharing
from agent.settings import Settings
from agent.task.capacity import Capacity
from agent.task.model import TaskId
from agent.task.stopping import Rules
from tests.fakes.host import FakeHosts
from tests.unit.doors.client import Client
from tests.unit.doors.imageroom import FakeImages

KEY = Key("HOSTLERTESTTESTTEST1", "a secret of no worth at all, for tests")


class FakeDoctor:
    """Finds one thing on a host, until it is mended; fails with ``error``."""

    def __init__(self) -> None:
        self.asked: list[Alive] = []
        self.error: Exception | None = None
        self._found = [Finding("orphans", "interface hv0 belongs to no task", "mend it")]
        self.others: list[Outcome] = []

    async def find(self, alive: Alive) -> list[Outcome]:
        self._ask(alive)
        return [*self._found, *self.others]

    async def mend(self, alive: Alive) -> list[str]:
        self._ask(alive)
        removed = [f"removed {each.what.split(' belongs')[0]}" for each in self._found]
        self._found.clear()
        return removed

    def _ask(self, alive: Alive) -> None:
        self.asked.append(alive)
        if self.error is not None:
            raise self.error


@dataclass
class Agent:
    """All parts of an agent whose fleet may run or not."""

    desk: Desk
    hosts: FakeHosts
    images: FakeImages
    pulls: Pulls
    client: Client
    tcp: TcpDoor
    doctor: FakeDoctor
    api: Api

    @property
    def url(self) -> str:
        """Where the API is served over TCP, to whoever signs with ``KEY``."""
        return f"http://{self.tcp}"

    @property
    def socket(self) -> Path:
        return self.desk.settings.api_socket

    async def until(self, task_id: str, condition: Callable[[Picture], bool]) -> Picture:
        """The first picture of a task that fulfils the condition."""
        key, feed = TaskId(task_id), self.desk.feed
        async with asyncio.timeout(30):
            while not condition(feed.pictures[key]):
                await feed.change(key)
        return feed.pictures[key]


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    capacity: Capacity | None = None,
    networks: NetworkRules | None = None,
    hosts: FakeHosts | None = None,
    given: Settings | None = None,
    group: str | None = None,
) -> AsyncIterator[Agent]:
    """An agent that answers, and whose tasks do not move: its fleet isn't run."""
    settings = replace(
        given or Settings(),
        state_dir=folder / "state",
        run_dir=folder / "run",
        task_roles=folder / "roles",
    )
    store, feed = Store(folder / "state.db"), Feed()
    hosts, images = hosts or FakeHosts(clock=time.time), FakeImages()
    await store.open()
    try:
        room = capacity or Capacity(memory_mib=4096, cpu_units=4096)
        fleet = Fleet(hosts, store, feed, time.time, Rules(), room)
        desk = Desk(settings, store, fleet, feed, time.time, networks or NetworkRules())
        described = host_networks.load(settings, folder / "leases")
        doctor = FakeDoctor()
        shared = SharedVolumes(settings.names.shared_volumes)
        sharing = Sharing(settings.names, shared, match_full=False)
        api = Api(desk, Office(settings.names, images.room, described, doctor, sharing))
        unix = UnixDoor(settings.api_socket, group)
        tcp = TcpDoor(("127.0.0.1", 0), {KEY.access_key_id: KEY}, time.time)
        async with api.serving(unix, tcp):
            client = Client(settings.api_socket)
            yield Agent(desk, hosts, images, images.pulls, client, tcp, doctor, api)
    finally:
        await store.close()


@asynccontextmanager
async def running(
    folder: Path,
    *,
    capacity: Capacity | None = None,
    networks: NetworkRules | None = None,
    hosts: FakeHosts | None = None,
) -> AsyncIterator[Agent]:
    """An agent whose tasks live and die."""
    async with (
        serving(folder, capacity=capacity, networks=networks, hosts=hosts) as agent,
        asyncio.TaskGroup() as group,
    ):
        run = group.create_task(agent.desk.fleet.run(3600.0))
        yield agent
        run.cancel()
