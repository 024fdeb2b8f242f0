"""The hosts under contract: one in memory, and this machine with a containerd of its own."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from agent import config
from agent.aws import Aws
from agent.cli.trial import private_settings
from agent.containerd.client import Containerd
from agent.engine.supervisor import Host
from agent.host.cgroups.kernel import Cgroups
from agent.host.cgroups.tasks import open_cgroups
from agent.host.containers.lifecycle import Containers, RuntimeSettings
from agent.host.containers.runtimes import Runtimes
from agent.host.credentials import TaskCredentials
from agent.host.host import RealHost
from agent.host.images.fetching import Fetcher
from agent.host.images.obtaining import ContainerImages, Images
from agent.host.images.policy import POLICIES
from agent.host.images.pulls import Pulls
from agent.host.images.stock.claims import Claims
from agent.host.logrouter import LogRouter
from agent.host.network.metadata_sockets import MetadataFront
from agent.host.network.networking import Networking, open_networking
from agent.host.network.socketstore import SocketStore
from agent.host.private.privacy import open_privacy
from agent.host.secrets import Secrets
from agent.logs.protocol import SOCKET_NAME
from agent.settings import Settings
from agent.task.actions import Action, AttachNetwork, Done, ObtainImage, Result
from agent.task.images import Obtained
from agent.task.model import Progress, Task, first_progress
from agent.task.network import Attachment
from agent.task.records import Restart
from agent.task.view import ContainerSeen, View
from metadata.credentials.keys import Keys, Need
from metadata.credentials.vault import Vault
from metadata.source import Owner
from tests import worlds
from tests.fakes.host import Behaviour, FakeHost
from tests.system.tasks import lasting_links
from tests.unit.host.images.registry import LIMITS, Puller, Registry, Rings, Shelf

DEADLINE_S = 10.0


class Program(Enum):
    """What the container ``app`` does: a shell script, and the same for the host in memory."""

    WAITS = "trap 'exit 143' TERM; touch /tmp/up; sleep 3600 & wait"
    EXITS = "exit 3"
    COUNTS = "echo run >> /runs; cat /runs; exit $(wc -l < /runs)"
    IS_SICK = "trap 'exit 143' TERM; sleep 3600 & wait #"


BEHAVIOURS = {
    Program.WAITS: Behaviour(),
    Program.EXITS: Behaviour(exits_after=0.0, exit_code=3),
    Program.COUNTS: Behaviour(exits_after=0.0, exit_code=1, counts=True),
    Program.IS_SICK: Behaviour(healthy=False),
}


@dataclass
class World:
    """One task on one host, and the facts that its supervisor would have kept."""

    host: Host
    task: Task
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = first_progress(self.task)

    async def act(self, action: Action) -> Result:
        """The result of the action; what only it could know is kept."""
        result = await self.host.act(self.task, self.progress, action)
        match action, result:
            case ObtainImage(name), Done(Obtained(image)):
                self.progress = self.progress.having(name, image=image)
            case AttachNetwork(sandbox), Done(Attachment() as network):
                self.progress = self.progress.having_network(sandbox, attachment=network)
            case _:
                pass
        return result

    async def look(self) -> View:
        return await self.host.look(self.task, self.progress)

    def answer(self, exit_: ContainerSeen) -> None:
        """The restart policy wants another run after this exit."""
        before = self.progress.containers["app"].restart
        number = 1 if before is None else before.count + 1
        again = Restart(number, time.time(), exit_.exit_code or 0, exit_.exited_at)
        self.progress = self.progress.having("app", restart=again)


def task_of(program: Program) -> Task:
    """A task with one container, under an id of its own."""
    command = ["sh", "-c", program.value]
    check = {"command": ["CMD", "test", "-e", "/tmp/up"]}
    app = worlds.container("app", command=command, healthCheck=check)
    return worlds.task(app, task_id=uuid.uuid4().hex, role=worlds.ROLE)


@asynccontextmanager
async def in_memory(program: Program) -> AsyncIterator[World]:
    """On the fake, at its most polite: rudeness is for the engine's tests."""
    behaviours = {"app": BEHAVIOURS[program]}
    yield World(FakeHost(random.Random(0), behaviours, rude=False), task_of(program))


class Door:
    """Keeps metadata sockets open and serves nothing."""

    def __init__(self) -> None:
        self._open: dict[str, socket.socket] = {}

    async def serve(self, sock: socket.socket, owner: Owner, key: str) -> None:
        self._open[key] = sock

    async def close(self, key: str) -> None:
        served = self._open.pop(key, None)
        if served is not None:
            served.close()

    def close_all(self) -> None:
        for each in self._open.values():
            each.close()


@asynccontextmanager
async def on_this_machine(program: Program, containerd: Path) -> AsyncIterator[World]:
    """On the real parts, with names of its own; afterwards nothing of it may be left."""
    # A short path: a unix socket's has at most 107 bytes.
    root = Path(tempfile.mkdtemp(prefix="hostler-h-"))
    settings = config.load(private_settings(root), {}, ())
    names = settings.names
    cgroups = open_cgroups(settings, Cgroups())
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        client = await stack.enter_async_context(
            Containerd(containerd, settings.containerd_namespace)
        )
        await client.namespaces.ensure(settings.containerd_namespace)
        router = await stack.enter_async_context(_router(settings))
        networking = await stack.enter_async_context(_networking(settings))
        stack.callback(cgroups.remove_root)
        images = Images(client, settings.state_dir / "spool", Claims(), settings.layer_limit)
        runtime = RuntimeSettings(Runtimes(), create_timeout_s=10, start_timeout_s=10)
        secrets = Secrets((), Aws())
        privacy = open_privacy(settings, secrets, _no_keys)
        containers = Containers(client, images, router, names, cgroups, runtime, privacy)
        sandboxes, interfaces = networking.sandboxes, networking.interfaces
        lent = TaskCredentials(Vault(_keys, time.time))
        # Their image is hello, for which nobody is asked.
        fetcher = Fetcher(Registry(), Puller(Shelf()), Pulls(), LIMITS)
        obtained = ContainerImages(images, fetcher, Rings(), POLICIES["default"])
        host = RealHost(client, containers, obtained, sandboxes, interfaces, cgroups, names, lent)
        yield World(host, task_of(program))
    assert lasting_links(settings.veth_prefix) == []
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


async def _no_keys(_: Task) -> None:
    """The host's, of which there is no use either."""


async def _keys(_: Need) -> Keys:
    return Keys("AKIDEXAMPLE", "secret")


@asynccontextmanager
async def _router(settings: Settings) -> AsyncIterator[LogRouter]:
    router = LogRouter(settings.run_dir)
    await router.ensure_running()
    try:
        yield router
    finally:
        assert await router.stop_if_idle(), "a log is still open"
        async with asyncio.timeout(DEADLINE_S):
            while (settings.run_dir / SOCKET_NAME).exists():  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _networking(settings: Settings) -> AsyncIterator[Networking]:
    door = Door()
    async with open_networking(
        settings, MetadataFront(door, SocketStore()), lambda: None
    ) as networking:
        await networking.open_firewall()
        try:
            yield networking
        finally:
            door.close_all()
            await networking.remove()
