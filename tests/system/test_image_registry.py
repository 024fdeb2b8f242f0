"""Pulling from Debian's docker-registry, through a proxy that counts and does harm."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from agent.containerd.client import Containerd
from agent.host.images.arriving.pulling import Puller
from agent.host.images.pulls import LayerState, Pull
from agent.registry import reference
from agent.registry.errors import RegistryError
from agent.registry.logins.login import Login
from agent.registry.remote.registries import Registries, RemoteSettings
from tests.system import imagelab
from tests.system.containerd_daemon import DaemonPaths
from tests.system.faults import Corrupt, Cut, Held, NoRange, Says
from tests.system.faultyproxy import Proxy, faulty_proxy
from tests.system.imagelab import Built
from tests.system.layerlab import Noise, busybox, directory, file, layer
from tests.system.registrylab import Registry, registry
from tests.system.test_image_pull import emptied, everything

MIB = 1 << 20
WAIT_S = 60.0


class Nobody:
    """A keyring without keys."""

    async def login(self, host: str, repository: str) -> Login | None:
        return None


class World:
    """A containerd namespace, all registries, and who pulls from these into that."""

    def __init__(self, client: Containerd, registries: Registries) -> None:
        self.client = client
        self.registries = registries
        self.puller = Puller(client, 6, 1 << 30)

    async def pull(self, name: str) -> Pull:
        parsed = reference.parse(name)
        pull = Pull(str(parsed))
        async with asyncio.timeout(WAIT_S):
            repository = self.registries.repository(parsed, Nobody())
            await self.puller.pull(repository, parsed, await repository.resolve(), pull)
        return pull


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as started:
        yield started


@pytest.fixture
def proxy(running: Registry) -> Iterator[Proxy]:
    with faulty_proxy(running.host) as started:
        yield started


@pytest.fixture
async def world(containerd: DaemonPaths) -> AsyncIterator[World]:
    settings = RemoteSettings((), frozenset(), WAIT_S, WAIT_S, {})
    async with emptied(containerd) as client, Registries(settings) as registries:
        yield World(client, registries)


def new_image(size: int = 3 * MIB) -> Built:
    """An image that nobody has pulled before."""
    seed = secrets.randbits(60)
    folders = [
        layer(directory(f"d{n}"), file(f"d{n}/file", Noise(size, seed + n))) for n in range(4)
    ]
    return imagelab.image(busybox(), *folders)


def begin(header: str) -> int:
    """Where a Range begins."""
    return int(header.removeprefix("bytes=").removesuffix("-"))


def gets(proxy: Proxy) -> list[str]:
    """The digests of the blobs that were asked for."""
    return sorted(each.path.rpartition("/")[2] for each in proxy.of("/blobs/"))


async def test_ten_tasks_with_the_same_new_image_cost_one_transfer(
    world: World, running: Registry, proxy: Proxy
) -> None:
    built = new_image()
    running.push(built, "ten:1")
    await asyncio.gather(*(world.pull(f"{proxy.host}/ten:1") for _ in range(10)))
    assert gets(proxy) == sorted(built.others)
    assert len(proxy.of("/manifests/")) == 1


async def test_a_cut_connection_is_resumed(world: World, running: Registry, proxy: Proxy) -> None:
    built = new_image()
    blob = built.layers[2].digest
    running.push(built, "cut:1")
    proxy.on(blob, Cut(after=MIB), times=2)
    pull = await world.pull(f"{proxy.host}/cut:1")
    assert {each.state for each in pull.layers} == {LayerState.DONE}
    first, second, third = (each.headers.get("Range", "") for each in proxy.of(blob))
    assert first == ""
    # What was in the air when the connection broke may be lost, each time.
    assert 0 < begin(second) <= MIB
    assert begin(second) < begin(third) <= begin(second) + MIB


async def test_a_registry_without_ranges_sends_it_again(
    world: World, running: Registry, proxy: Proxy
) -> None:
    built = new_image()
    blob = built.layers[1].digest
    running.push(built, "again:1")
    proxy.on(blob, Cut(after=MIB), times=1)
    proxy.on(blob, NoRange(), times=1)
    await world.pull(f"{proxy.host}/again:1")
    assert len(proxy.of(blob)) == 2


async def test_what_was_corrupted_on_its_way_is_refused(
    world: World, running: Registry, proxy: Proxy
) -> None:
    built = new_image()
    running.push(built, "corrupt:1")
    proxy.on(built.layers[1].digest, Corrupt(at=2 * MIB))
    with pytest.raises(RegistryError, match=f"{built.layers[1].digest}"):
        await world.pull(f"{proxy.host}/corrupt:1")
    assert await everything(world.client) == []


async def test_a_busy_registry_is_waited_for(world: World, running: Registry, proxy: Proxy) -> None:
    built = new_image()
    running.push(built, "busy:1")
    proxy.on(built.layers[1].digest, Says(503), times=1)
    await world.pull(f"{proxy.host}/busy:1")
    assert len(proxy.of(built.layers[1].digest)) == 2


async def test_whoever_gives_up_leaves_nothing(
    world: World, running: Registry, proxy: Proxy
) -> None:
    built = new_image()
    blob = built.layers[1].digest
    running.push(built, "cancel:1")
    proxy.on(blob, Held(after=MIB))
    async with asyncio.TaskGroup() as group:
        pull = group.create_task(world.pull(f"{proxy.host}/cancel:1"))
        await asyncio.to_thread(proxy.until, blob)
        pull.cancel()
    assert await everything(world.client) == []
