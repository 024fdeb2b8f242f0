"""Images that nobody needs are removed: now and then, when the disk is full, and when asked to.

What goes is decided in ``retention``. An image that a task needs is never removed: tasks are
looked at again at the moment when nothing of the image can be claimed any more.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, NotFound
from agent.host.images.stock import retention
from agent.host.images.stock.claims import Claimed, Claims
from agent.host.images.stock.inventory import Inventory
from agent.host.images.stock.retention import Decision, Disk, Needed, Rules, Stored, in_use
from agent.task.units import size

log = logging.getLogger(__name__)

LOOK_S = 60.0
"""How often the disk is looked at."""

COLLECT_S = 300.0
"""Deadline for containerd to take away what an image alone held."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is: images, and the bytes of each of their pieces."""

    images: tuple[Stored, ...]
    weights: Mapping[str, int]


class Cleaner:
    """Removes images of one containerd namespace. ``needed`` tells what tasks refer to now."""

    def __init__(
        self,
        client: Containerd,
        claims: Claims,
        needed: Callable[[], Needed],
        rules: Rules,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._inventory = Inventory(client)
        self._claims = claims
        self._rules = rules
        self._clock = clock
        self._reported: dict[str, str] = {}
        self._stuck = False
        self.needed = needed

    async def run(self) -> None:
        """Cleans up time and again, and whenever the disk is too full, until cancelled.

        Ends at once if clean-up is switched off.
        """
        if self._rules.off:
            log.info("images: %s", self._rules.off)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rules.interval_s
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                disk = await self.disk()
                if loop.time() >= due or disk.percent() > self._rules.disk_high:
                    due = loop.time() + self._rules.interval_s
                    await self.carry_out(await self.due(disk))
                    disk = await self.disk()
                self._warn(disk)
            except (ContainerdError, OSError) as error:
                self._report("", f"images can't be cleaned up now: {error}")
            else:
                self._reported.pop("", None)

    async def facts(self) -> Facts:
        """What there is. Raises ContainerdError."""
        images = await self._inventory.images()
        return Facts(images, await self._inventory.weights(images))

    async def due(self, disk: Disk) -> tuple[Decision, ...]:
        """What the agent's own clean-up would do now. Raises ContainerdError."""
        facts = await self.facts()
        return retention.cycle(
            facts.images, facts.weights, self.needed(), self._rules, self._clock(), disk
        )

    async def unneeded(self, older_than_s: float) -> tuple[Decision, ...]:
        """What goes when all goes that nobody needs. Raises ContainerdError."""
        facts = await self.facts()
        return retention.prune(
            facts.images,
            facts.weights,
            self.needed(),
            self._rules.kept,
            self._clock(),
            older_than_s,
        )

    async def disk(self) -> Disk:
        """The file system that snapshots are on. Raises ContainerdError, OSError."""
        root = await self._client.introspection.snapshots_root()
        found = await asyncio.to_thread(os.statvfs, root)
        return Disk(
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            available=found.f_bavail * found.f_frsize,
        )

    async def carry_out(self, decisions: Iterable[Decision]) -> tuple[Decision, ...]:
        """Removes what is to go; gives the decisions as they came out."""
        return tuple([await self._carried_out(each) for each in decisions])

    async def remove(self, image: Stored, names: tuple[str, ...]) -> None:
        """These names of the image are gone; with its last one, all that nothing else holds.

        Whether tasks need it is the caller's to ask, with no await before this. Raises Claimed,
        ContainerdError.
        """
        with self._claims.removing({image.digest, *image.names, *image.pieces}):
            there = [each for each in names if await self._is_named(image, each)]
            for name in there[:-1]:
                await self._delete(name, sync=False)
            for name in there[-1:]:
                await self._delete(name, sync=True)

    async def _carried_out(self, decision: Decision) -> Decision:
        if not decision.removed:
            return decision
        image = decision.image
        if tasks := image.wanted_by(self.needed()):
            return replace(decision, removed=False, frees=0, why=in_use(tasks))
        try:
            await self.remove(image, image.names)
        except Claimed:
            why = "parts of it are in use by a pull or a load"
            return replace(decision, removed=False, frees=0, why=why)
        except ContainerdError as error:
            self._report(image.digest, f"image {image.names[0]} can't be removed: {error}")
            return replace(decision, removed=False, frees=0, why=f"containerd: {error.said}")
        names = ", ".join(image.names)
        log.info("removed image %s (%s): %s", names, size(decision.frees), decision.why)
        return decision

    async def _is_named(self, image: Stored, name: str) -> bool:
        """Whether the name still means this image."""
        with suppress(NotFound):
            return (await self._client.images.get(name)).target.digest == image.digest
        return False

    async def _delete(self, name: str, *, sync: bool) -> None:
        with suppress(NotFound):
            await self._client.images.delete(name, sync=sync, timeout=COLLECT_S)

    def _report(self, about: str, text: str) -> None:
        """Says it unless that was the last that was said of it."""
        if self._reported.get(about) != text:
            self._reported[about] = text
            log.warning("%s", text)

    def _warn(self, disk: Disk) -> None:
        """Says once that the disk stays too full."""
        stuck = disk.percent() > self._rules.disk_high
        if stuck and not self._stuck:
            log.warning(
                "the disk of images is %.0f %% full, and no more images may go:"
                " 'hostler image prune --dry-run --scheduled' tells why",
                disk.percent(),
            )
        self._stuck = stuck
