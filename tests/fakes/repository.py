"""A repository of a registry in memory: what a test puts there, with the faults it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable


@dataclass
class FakeRepository:
    """``asked``: every blob and offset that was asked for; ``manifests``: every manifest.

    ``cuts``: after how many bytes each answer with that blob breaks off, one number an answer.
    ``held``: blobs that end only when the event is set; ``reached`` tells of each.
    """

    blobs: Mapping[str, bytes]
    piece: int = 64 * 1024
    cuts: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[str, RegistryError] = field(default_factory=dict)
    retry_after_s: float | None = None
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    most: int = 0

    async def manifest(self, descriptor: Descriptor) -> bytes:
        self.manifests.append(descriptor.digest)
        await asyncio.sleep(0)
        return self._found(descriptor)

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes]:
        digest = descriptor.digest
        self.asked.append((digest, offset))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            data, cuts = self._found(descriptor), self.cuts.get(digest)
            end = min(offset + cuts.pop(0), len(data)) if cuts else len(data)
            if digest in self.held:
                middle = (offset + end) // 2
                for at in range(offset, middle, self.piece):
                    yield data[at : min(at + self.piece, middle)]
                self.reached.set()
                await self.held[digest].wait()
                offset = middle
            for at in range(offset, end, self.piece):
                await asyncio.sleep(0)
                yield data[at : min(at + self.piece, end)]
            if end < len(data):
                raise RegistryUnavailable("the connection broke", self.retry_after_s)
        finally:
            self.open -= 1

    def offsets(self, digest: str) -> list[int]:
        """From where on the blob was asked for, each time."""
        return [offset for each, offset in self.asked if each == digest]

    def _found(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest in self.errors:
            raise self.errors[descriptor.digest]
        if descriptor.digest not in self.blobs:
            raise RegistryError(f"{descriptor.digest}: not in the repository")
        return self.blobs[descriptor.digest]
