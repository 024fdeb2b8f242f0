"""What keeps the parts of an image from containerd's garbage collection: labels, and leases.

An image record holds its target; labels on a blob hold what the blob refers to; a lease holds what
is made under it until the record is there.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, NotFound
from agent.registry.descriptor import Descriptor

log = logging.getLogger(__name__)

_CONTENT = "containerd.io/gc.ref.content"
_SNAPSHOT = "containerd.io/gc.ref.snapshot"
_PURPOSE = "hostler/purpose"
"""Label of a lease: what work it is for."""


def manifest_labels(config: Descriptor, layers: Iterable[Descriptor]) -> dict[str, str]:
    """Labels of a manifest: its config and its layers."""
    numbered = {f"{_CONTENT}.l.{number}": each.digest for number, each in enumerate(layers)}
    return {f"{_CONTENT}.config": config.digest, **numbered}


def index_labels(chosen: Descriptor) -> dict[str, str]:
    """Labels of an index: the one that is here of those it lists."""
    return {f"{_CONTENT}.m.0": chosen.digest}


def config_labels(snapshotter: str, chain: str) -> dict[str, str]:
    """Labels of a config: the topmost snapshot, if the image has a layer at all."""
    return {f"{_SNAPSHOT}.{snapshotter}": chain} if chain else {}


@dataclass(slots=True)
class Held:
    """What is made with ``client`` is held. ``referred``: others refer to it by now, so that
    there is nothing to collect."""

    client: Containerd
    referred: bool = False


class Keeper:
    """Gives leases for one ``purpose``, and lets go those that were left.

    Whatever calls itself by the same purpose in the same namespace must be this one or a dead one.
    """

    def __init__(self, client: Containerd, purpose: str) -> None:
        self._client = client
        self._purpose = purpose
        self._live: set[str] = set()
        self._left: set[str] = set()

    @asynccontextmanager
    async def leased(self, lasts_s: float) -> AsyncIterator[Held]:
        """What is made meanwhile is kept until left, or until the lease runs out.

        If nothing refers to it then, it is gone at the end, or when containerd is there again.
        """
        if self._left - self._live:
            await self.sweep()
        lease = f"{self._purpose}-{uuid.uuid4().hex}"
        held = Held(self._client.with_lease(lease))
        self._live.add(lease)
        self._left.add(lease)  # until it is known to be gone, whatever happens to this call
        try:
            labels = {_PURPOSE: self._purpose}
            expires_at = time.time() + lasts_s
            await self._client.leases.create(lease, expires_at=expires_at, labels=labels)
            yield held
        finally:
            self._live.discard(lease)
            try:
                await self._end(lease, sync=not held.referred)
            except ContainerdError as error:
                log.warning("lease %s stays for now: %s", lease, error)

    async def sweep(self) -> None:
        """Leases that an earlier agent left, or that could not be ended, are gone.

        If containerd does not do it, that is logged and tried again before the next lease.
        """
        try:
            found = {
                each.id
                for each in await self._client.leases.list()
                if each.labels.get(_PURPOSE) == self._purpose
            }
            self._left = (self._left & self._live) | (found - self._live)
            for each in found - self._live:
                log.info("what was left under lease %s goes", each)
                await self._end(each, sync=False)
        except ContainerdError as error:
            log.warning("what is left of earlier work stays for now: %s", error)

    async def _end(self, lease: str, *, sync: bool) -> None:
        with suppress(NotFound):
            await self._client.leases.delete(lease, sync=sync)
        self._left.discard(lease)
