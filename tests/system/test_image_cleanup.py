"""Clean-up against a real containerd: what goes, what it frees, and what tasks need."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import tasks
from agent.cli.client import Client
from agent.containerd.client import Containerd
from agent.containerd.types import Image as Record
from agent.host.images.loading import Loader
from agent.host.images.records import PULLED_AT
from agent.host.images.stock.claims import Claims
from agent.host.images.stock.cleaning import Cleaner
from agent.host.images.stock.retention import Disk, Needed, Rules
from agent.task.model import TaskId
from tests.system.agent import Agent, running_agent
from tests.system.containerd_daemon import DaemonPaths
from tests.system.imagelab import Built, image, write_layout
from tests.system.layerlab import Noise, busybox, file, layer
from tests.system.registrylab import registry
from tests.system.tasks import Json, eventually, run, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containerd needs root")

TASK = frozenset({TaskId("0" * 32)})
BASE = layer(file("base", Noise(300_000, 1)))


def archive(built: Built, name: str, folder: Path) -> bytes:
    """The image in an OCI archive, under ``name``."""
    layout = folder / secrets.token_hex(4)
    write_layout(built, layout, name)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(layout, ".")
    return out.getvalue()


def on_base(seed: int, size: int = 200_000) -> Built:
    """An image with a layer of its own on ``BASE``."""
    return image(BASE, layer(file(f"own-{seed}", Noise(size, seed))))


class Host:
    """A namespace of containerd with images that were pulled, as far as their records say."""

    def __init__(self, client: Containerd, folder: Path) -> None:
        self.client = client
        self.needed: dict[str, frozenset[TaskId]] = {}
        self._folder = folder
        self._loader = Loader(client, folder / "spool", 1 << 30)

    def cleaner(self, **rules: object) -> Cleaner:
        def needed() -> Needed:
            return dict(self.needed)

        return Cleaner(self.client, Claims(), needed, Rules(**rules), time.time)  # type: ignore[arg-type]

    async def pulled(self, built: Built, name: str, ago_s: float) -> None:
        """The image is here under its name and its digest."""
        await self._loader.load(_once(archive(built, name, self._folder)))
        record = await self.client.images.get(name)
        exact = f"{name.rpartition(':')[0]}@{record.target.digest}"
        await self.client.images.create_or_update(Record(exact, record.target))
        for each in (name, exact):
            label = {PULLED_AT: str(time.time() - ago_s)}
            await self.client.images.set_labels(each, label)

    async def names(self) -> list[str]:
        return sorted(each.name for each in await self.client.images.list())

    async def weight(self) -> int:
        """Bytes of all content and all snapshots."""
        content = sum(each.size for each in await self.client.content.list())
        snapshots = await self.client.snapshots.list()
        return content + sum([await self.client.snapshots.usage(each.name) for each in snapshots])


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def host(containerd: DaemonPaths, tmp_path: Path) -> AsyncIterator[Host]:
    namespace = f"t{secrets.token_hex(4)}"
    async with Containerd(containerd.socket, namespace) as client:
        await client.namespaces.ensure(namespace)
        made = Host(client, tmp_path)
        yield made
        for each in await client.images.list():
            await client.images.delete(each.name, sync=True)
        assert await made.weight() == 0
        await client.namespaces.delete(namespace)


async def test_an_image_goes_with_all_that_it_alone_held(host: Host) -> None:
    await host.pulled(on_base(1), "x.io/a:1", ago_s=7200)
    await host.pulled(on_base(2), "x.io/b:1", ago_s=7300)
    await host.pulled(on_base(3), "x.io/young:1", ago_s=60)
    host.needed = {"x.io/b:1": TASK}
    cleaner, before = host.cleaner(), await host.weight()
    decisions = await cleaner.carry_out(await cleaner.due(Disk(1, 99)))
    assert [each.image.tags for each in decisions if each.removed] == [("x.io/a:1",)]
    assert [each for each in await host.names() if "@" not in each] == ["x.io/b:1", "x.io/young:1"]
    freed = before - await host.weight()
    assert decisions[0].frees == freed
    assert 400_000 < freed < 500_000  # its own layer, compressed and unpacked, and not the base
    assert len(await host.client.snapshots.list()) == 3


async def test_a_full_disk_is_relieved_by_as_much_as_it_takes(host: Host) -> None:
    for number in range(4):
        await host.pulled(on_base(number), f"x.io/a:{number}", ago_s=60 - number)
    cleaner, before = host.cleaner(per_cycle=1), await host.weight()
    disk = Disk(used=before * 9 // 10, available=before // 10)
    assert disk.percent() > 85
    decisions = await cleaner.carry_out(await cleaner.due(disk))
    removed = [each for each in decisions if each.removed]
    assert [each.image.tags for each in removed] == [("x.io/a:0",)]
    assert before - await host.weight() == sum(each.frees for each in removed)
    assert disk.percent(before - await host.weight()) < 75
    await cleaner.carry_out(await cleaner.due(Disk(99 * 10**9, 10**9)))
    assert await host.weight() == 0


async def test_what_is_left_of_a_moved_tag_goes_by_itself(host: Host) -> None:
    await host.pulled(on_base(1), "x.io/a:1", ago_s=7200)
    await host.pulled(on_base(2), "x.io/a:1", ago_s=60)
    cleaner = host.cleaner()
    (old,) = [each for each in (await cleaner.facts()).images if not each.tags]
    host.needed = {old.digest: TASK}
    assert not [each for each in await cleaner.due(Disk(1, 99)) if each.removed]
    host.needed = {"x.io/a:1": TASK}
    await cleaner.carry_out(await cleaner.due(Disk(1, 99)))
    assert old.names[0] not in await host.names()
    assert "x.io/a:1" in await host.names()


async def test_the_disk_that_is_looked_at_is_containerds(
    host: Host, containerd: DaemonPaths
) -> None:
    disk = await host.cleaner().disk()
    found = os.statvfs(containerd.folder)
    assert disk.used + disk.available <= found.f_blocks * found.f_frsize
    assert disk.used > 0


WEB = "localhost:1/web:1"
KEPT_S = 1
"""How long the agent remembers a task at least."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent(
        ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=f"{KEPT_S}s",
        ECS_IMAGE_PULL_BEHAVIOR="prefer-cached",
        ECS_IMAGE_PULL_TIMEOUT="300ms",
    ) as one:
        yield one


@pytest.fixture
def loaded(agent: Agent, tmp_path: Path) -> str:
    """Name of an image that can run, on the agent's host."""
    load(agent, tmp_path, WEB, image(busybox()))
    return WEB


LACKING = "is not on this host"
ROUNDS = 15


def listing(agent: Agent, name: str) -> list[Json]:
    """What is listed under that name."""
    images: list[Json] = agent.call("Hostler.ListImages")["images"]
    return [each for each in images if each["name"] == name]


def until_forgotten(agent: Agent, arn: str) -> None:
    """The agent knows nothing of the task any more."""
    client = Client(agent.socket)
    eventually(lambda: arn not in tasks.all_arns(client), f"{arn} is forgotten")


def load(agent: Agent, folder: Path, name: str, built: Built) -> None:
    """The image is on the agent's host."""
    assert Client(agent.socket).load_image([archive(built, name, folder)]) == [name]


def test_no_image_goes_that_a_task_needs_until_it_is_forgotten(agent: Agent, loaded: str) -> None:
    task = run(agent, shell("app", "sleep 1000") | {"image": loaded})
    task.until_running()
    refused = agent.cli("image", "rm", loaded)
    assert refused.returncode == 125
    assert f"needed by task {task.id}: a task refers" in refused.stderr
    agent.call("Hostler.PruneImages")
    (listed,) = listing(agent, loaded)
    assert (listed["tasks"], listed["usedAt"]) == (1, None)
    agent.call("StopTask", task=task.arn, force=True)
    task.until_closed()
    forgettable_at = time.time() + KEPT_S
    assert listing(agent, loaded)[0]["tasks"] == 1  # it may be asked about still
    eventually(lambda: time.time() > forgettable_at, "it has been kept long enough")
    agent.restart()  # which looks for tasks to forget, and not again for a minute
    until_forgotten(agent, task.arn)
    (listed,) = listing(agent, loaded)
    assert listed["tasks"] == 0
    assert abs(listed["usedAt"] - time.time()) < 60
    assert agent.call("Hostler.PruneImages")["freed"] > 1_000_000
    assert not listing(agent, loaded)


def test_a_running_container_goes_on_without_its_image(agent: Agent, loaded: str) -> None:
    script = "trap 'cat /var/www/index.html; exit 0' TERM; echo up; sleep 1000 & wait"
    task = run(agent, shell("app", script, stopTimeout=20) | {"image": loaded})
    task.until_log("app")
    assert agent.cli("image", "rm", loaded, "--force").returncode == 0
    assert not listing(agent, loaded)
    agent.call("StopTask", task=task.arn)
    task.until_closed()
    assert task.log("app")[-1] == "Hello from Hostler\n"


def test_pruning_takes_no_image_from_under_a_task_that_begins(agent: Agent, tmp_path: Path) -> None:
    """A task finds its image whole or not at all, however things fall together."""
    with pruning(agent) as gone:
        for number in range(ROUNDS):
            name = f"localhost:1/web:{number}"
            load(agent, tmp_path, name, image(busybox(), layer(file("round", b"%d" % number))))
            task = run(agent, shell("app", "exit 7") | {"image": name})
            task.until_closed()
            container = task.container("app")
            assert container.get("exitCode") == 7 or LACKING in container["reason"], task
        load(agent, tmp_path, "localhost:1/unused:1", image(layer(file("unused"))))
        eventually(lambda: "localhost:1/unused:1" in gone, "what nobody needs was pruned")


@contextmanager
def pruning(agent: Agent) -> Iterator[list[str]]:
    """Images are pruned over and over meanwhile; gives those that went."""
    over, gone = threading.Event(), list[str]()

    def prune() -> None:
        while not over.is_set():
            decisions = agent.call("Hostler.PruneImages")["decisions"]
            gone.extend(each["names"][0] for each in decisions if each["removed"])

    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(prune)
        try:
            yield gone
        finally:
            over.set()
        work.result()


def test_a_full_disk_takes_what_was_pulled_however_young(tmp_path: Path) -> None:
    found = shutil.disk_usage(tmp_path)
    if found.used * 50 < found.total:
        pytest.skip("the disk is all but empty")
    limits = {"HOSTLER_IMAGE_DISK_HIGH": "1", "HOSTLER_IMAGE_DISK_LOW": "1"}
    with running_agent(**limits) as agent, registry() as shop:
        name = shop.push(on_base(1), "app:1")
        list(Client(agent.socket).pull_image(name))
        load(agent, tmp_path, WEB, image(busybox()))
        answer = agent.call("Hostler.PruneImages", scheduled=True)
        why = {each["names"][0]: each["why"] for each in answer["decisions"]}
        assert "% full (HOSTLER_IMAGE_DISK_HIGH)" in why[name]
        assert "it was not pulled by this agent" in why[WEB]
        assert not listing(agent, name)
        assert listing(agent, WEB)
