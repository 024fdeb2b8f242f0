"""Images from different registries don't wait for each other."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from types import SimpleNamespace
from typing import cast

from agent.containerd.client import Containerd
from agent.host.images.arriving.lanes import Lane, Lanes
from agent.host.images.pulls import LayerProgress
from tests.fakes.repository import FakeRepository
from tests.system.layerlab import Noise, directory, file, layer
from tests.unit.host.images.test_transfer import Store

BLOB = layer(directory("d"), file("d/f", Noise(1000)), compression="").blob()


async def fetch(lane: Lane, client: Containerd, repository: FakeRepository, lease: str) -> None:
    blob = BLOB.descriptor
    progress = LayerProgress(blob.digest, blob.size)
    arrival = lane.transfers.arrival(lease, blob)
    await lane.transfers.layer(client, repository, blob, arrival, progress)


async def test_a_registry_that_holds_everything_holds_up_itself_alone() -> None:
    lanes = Lanes(1, 1 << 20, time.time)
    client = cast("Containerd", SimpleNamespace(content=Store()))
    slow, quick = (FakeRepository({BLOB.descriptor.digest: BLOB.data}) for _ in range(2))
    slow.held[BLOB.descriptor.digest] = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        first = group.create_task(fetch(lanes.of("slow"), client, slow, "one"))
        await slow.reached.wait()
        await fetch(lanes.of("quick"), client, quick, "other")
        assert not first.done()
        slow.held[BLOB.descriptor.digest].set()
    assert quick.asked == [(BLOB.descriptor.digest, 0)]


async def test_a_registry_has_one_lane_while_somebody_uses_it() -> None:
    lanes = Lanes(1, 1 << 20, time.time)
    lane = lanes.of("one")
    assert lanes.of("one") is lane
    assert lanes.of("other") is not lane
    gone = weakref.ref(lane)
    del lane
    gc.collect()
    assert gone() is None
