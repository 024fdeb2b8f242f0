"""What is found of a layer on its way holds only for bytes that the store has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from agent.containerd.client import Containerd
from agent.containerd.content import Source
from agent.containerd.errors import Unavailable
from agent.containerd.types import ContentInfo
from agent.host.images.arriving.transfer import Transfers
from agent.host.images.pulls import LayerProgress
from agent.registry.layers.check import LayerFacts
from tests.fakes.repository import FakeRepository
from tests.system.layerlab import directory, file, layer


class OneBlob:
    """A content store that breaks off ``breaks`` times when it has been given all of the blob."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks
        self.data = b""

    async def resume(self, ref: str, source: Source, *, size: int, digest: str) -> None:
        given = b"".join([chunk async for chunk in source(0)])
        if self.breaks:
            self.breaks -= 1
            raise Unavailable("it went away")
        self.data = given

    async def info(self, digest: str) -> ContentInfo:
        return ContentInfo(digest, len(self.data), {})

    async def read_stream(self, digest: str) -> AsyncIterator[bytes]:
        yield self.data

    async def set_labels(self, digest: str, labels: Mapping[str, str]) -> None:
        """There is one reader."""


async def test_what_the_store_did_not_get_is_no_fact() -> None:
    """A registry may send something else when it is asked again."""
    first = layer(directory("d"), file("d/f", bytes(1)), compression="").blob()
    other = layer(file("d/f", bytes(1000)), compression="").blob()
    blob, client = other.descriptor, cast("Containerd", SimpleNamespace(content=OneBlob(breaks=1)))
    assert len(first.data) == blob.size
    transfers = Transfers(1 << 20, time.time, asyncio.Semaphore(1))
    arrival = transfers.arrival("lease", blob)

    async def facts(data: bytes) -> LayerFacts:
        repository, progress = FakeRepository({blob.digest: data}), LayerProgress("", blob.size)
        return await transfers.layer(client, repository, blob, arrival, progress)

    with pytest.raises(Unavailable):
        await facts(first.data)
    assert arrival.facts is not None
    assert arrival.facts.self_contained
    assert not (await facts(other.data)).self_contained
