"""The bare sequence of calls to containerd, with Hostler's own client and nothing else.

Neither an agent nor a network nor logs: what a container in containerd costs at the least.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from signal import SIGTERM

from agent.containerd.types import GC_ROOT_LABEL, ContainerRecord
from agent.host.images.obtaining import Images
from agent.host.images.stock.claims import Claims
from agent.registry import hello
from agent.settings import Settings
from bench.accounts import Account
from bench.peers.spec import Specs
from bench.world import QUITTER, SLEEPER, World

STOP_S = 30.0


class Bare:
    def __init__(self, world: World, name: str, specs: Specs, parent: str) -> None:
        self.name = name
        self._client = world.client
        self._specs = specs
        self._parent = parent
        self._own = world.account(name.replace(" ", "-"))
        self.accounts: tuple[Account, ...] = (self._own, world.containerd)

    async def start(self, name: str) -> None:
        await self._start(name, SLEEPER)

    async def stop(self, name: str) -> None:
        await self._client.tasks.kill(name, SIGTERM)
        await self._client.tasks.wait(name, timeout=STOP_S)

    async def remove(self, name: str) -> None:
        await self._client.tasks.delete(name)
        await self._client.snapshots.remove(name)
        await self._client.containers.delete(name)

    async def once(self, name: str) -> None:
        await self._start(name, QUITTER)
        await self._client.tasks.wait(name, timeout=STOP_S)
        await self.remove(name)

    async def _start(self, name: str, command: Sequence[str]) -> None:
        client = self._client
        mounts = await client.snapshots.prepare(name, self._parent, labels={GC_ROOT_LABEL: "bench"})
        spec = self._specs.spec(command, f"{self._own.containers}/{name}")
        await client.containers.create(
            ContainerRecord(
                id=name,
                spec=json.dumps(spec).encode(),
                snapshotter=client.snapshotter,
                snapshot_key=name,
            )
        )
        await client.tasks.create(name, mounts)
        await client.tasks.start(name)


async def open_bare(world: World, name: str, specs: Specs) -> Bare:
    """The image is unpacked in containerd."""
    return Bare(world, name, specs, await unpacked_image(world))


async def unpacked_image(world: World) -> str:
    """The snapshot of the image, which is in containerd from now on."""
    images = Images(world.client, world.scratch / "spool", Claims(), Settings().layer_limit)
    image = await images.find(hello.NAME)
    return (await images.unpacked(image.id)).chain_id
