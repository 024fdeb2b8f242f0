"""``bench burst``: fifty containers at once, by Hostler, by the bare client and by Docker's API.

``start`` is from the first request until the client knows that all run, ``stop`` from the first
request to stop until nothing is left of any, ``cpu`` all CPU time of both.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from bench.accounts import Account, used_s
from bench.command import Options
from bench.peers.bare import open_bare
from bench.peers.barefleet import BareFleet
from bench.peers.docker import dockerd
from bench.peers.dockerfleet import docker_fleet
from bench.peers.hostler import agent
from bench.peers.hostlerfleet import HostlerFleet
from bench.peers.spec import plain
from bench.programs import Missing
from bench.report import Report, conditions, spread, table
from bench.rounds import SETTLE_S
from bench.summary import ratio, summary
from bench.versions import versions
from bench.world import World, ready

COUNT = 50
TARGETS = {"burst/docker": 0.35}


class Fleet(Protocol):
    """A way to run many containers."""

    name: str
    accounts: tuple[Account, ...]

    async def start(self, count: int) -> None:
        """So many containers run."""

    async def stop(self) -> None:
        """Nothing is left of them."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one round took: wall seconds, and CPU seconds of everything."""

    start_s: float
    stop_s: float
    cpu_s: float


async def measure(world: World, options: Options) -> Report:
    """Runs the rounds, each fleet in turn."""
    report = Report(targets=TARGETS)
    async with AsyncExitStack() as stack:
        ours = HostlerFleet(world, await stack.enter_async_context(agent(world, "burst")))
        await ours.open()
        bare = BareFleet(await open_bare(world, "bare", plain()))
        fleets: list[Fleet] = [ours, bare]
        try:
            socket = await stack.enter_async_context(dockerd(world))
            fleets.append(await stack.enter_async_context(docker_fleet(world, socket)))
        except Missing as error:
            report.sections.append(f"left out: {error}")
        report.sections.append(conditions(options.rounds, await versions()))
        bursts: dict[str, list[Burst]] = {each.name: [] for each in fleets}
        for _ in range(options.rounds):
            for fleet in fleets:
                bursts[fleet.name].append(await _burst(fleet))
    _fill(report, bursts, ours.name, dict(zip(("best", "docker"), list(bursts)[1:], strict=False)))
    return report


async def _burst(fleet: Fleet) -> Burst:
    fleet.accounts[0].enter(os.getpid())
    await asyncio.sleep(SETTLE_S)
    cpu = used_s(fleet.accounts)
    began = time.monotonic()
    await fleet.start(COUNT)
    started = time.monotonic()
    await ready(fleet.accounts[0], COUNT)
    stopping = time.monotonic()
    await fleet.stop()
    stopped = time.monotonic()
    return Burst(started - began, stopped - stopping, used_s(fleet.accounts) - cpu)


def _fill(
    report: Report, bursts: Mapping[str, Sequence[Burst]], ours: str, peers: Mapping[str, str]
) -> None:
    mine = [each.start_s for each in bursts[ours]]
    for short, name in peers.items():
        report.ratios[f"burst/{short}"] = ratio(mine, [each.start_s for each in bursts[name]])
    rows = []
    for name, every in bursts.items():
        starts = [each.start_s for each in every]
        rows.append(
            (
                name,
                spread(summary(starts)),
                f"{ratio(mine, starts):.2f}",
                spread(summary([each.stop_s for each in every])),
                spread(summary([each.cpu_s / COUNT for each in every])),
            )
        )
    short_of = {ours: "hostler", **{name: short for short, name in peers.items()}}
    for name, short in short_of.items():
        for what in ("start", "stop", "cpu"):
            values = [getattr(each, f"{what}_s") for each in bursts[name]]
            report.figures[f"{short}_{what}_ms"] = summary(values).median * 1000
    headings = ("ms: median (quartiles, min)", "start 50", "ours/its", "stop 50", "cpu of one")
    report.sections.append(table(headings, rows))
