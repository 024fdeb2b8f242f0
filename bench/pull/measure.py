"""The rounds of ``bench pull``, and its report.

``first`` is from the request until the image is unpacked, with nothing of it here before;
``again`` is the same when it is here, ``cpu`` all CPU time that the first takes, but for that of
the registry. A round is a turn of each peer, and begins with the next one
each time; an unmeasured round comes first.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.accounts import used_s
from bench.command import Options
from bench.peers.docker import dockerd
from bench.peers.hostler import Agent, Waiter, agent
from bench.peers.spec import MEMORY_MIB
from bench.programs import Missing, ProgramFailed
from bench.pull import peers
from bench.pull.images import CHANGED, Layers, make_layers, push
from bench.pull.layers import Made
from bench.pull.peers import Peer
from bench.pull.registry import HOST, URL, Registry, Transfer, registry
from bench.report import Report, conditions, spread, table
from bench.summary import ratio, summary
from bench.versions import versions
from bench.world import SLEEPER, World

OURS = peers.Hostler.name
PEERS = {
    "pull/ctr": "ctr image pull",
    "pull/podman": "podman pull",
    "pull/docker": "docker pull",
}
TASKS = 10
BIG, CHANGED_BIG, RUNNABLE = (f"{HOST}/bench/{each}" for each in ("app:1", "app:2", "tasks:1"))
TARGETS = {
    "pull/best": 1.0,
    "known_ms": 20,
    "rss_mb": 150,
    "moved_one_layer": 1.01,
    "ten_tasks_transfers": 1,
}


@dataclass(slots=True)
class Times:
    """Of one peer, in seconds, one for each round."""

    first: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


async def measure(world: World, options: Options) -> Report:
    """Makes the images, runs the rounds, and then what only the agent is asked."""
    report = Report(targets=TARGETS)
    layers = await make_layers(world.scratch, world.layer)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(registry(world))
        await push(URL, "bench/app", "1", layers.big)
        await push(URL, "bench/app", "2", layers.other)
        await push(URL, "bench/tasks", "1", layers.runnable)
        running = await stack.enter_async_context(agent(world, "pull"))
        ours = peers.hostler(world, running)
        everyone = [*await _others(world, stack, report), ours]
        report.sections.append(conditions(options.rounds, await versions()))
        report.sections.append(_image(layers, options))
        rounds = _Rounds(source, running.pid, layers, options)
        _fill(report, await rounds.run(everyone))
        report.figures["rss_mb"] = rounds.rss_mib
        await _one_layer(report, source, ours, layers)
        await _many_tasks(report, source, running, layers)
    return report


async def _others(world: World, stack: AsyncExitStack, report: Report) -> list[Peer]:
    """Those that are installed and work; the report says which are not."""
    found: list[Peer] = []

    async def docker() -> Peer:
        return peers.docker(world, await stack.enter_async_context(dockerd(world)))

    async def podman() -> Peer:
        return peers.podman(world)

    for each in (stack.enter_async_context(peers.ctr(world)), podman(), docker()):
        try:
            found.append(await each)
        except Missing as error:
            report.sections.append(f"left out: {error}")
    return found


@dataclass(slots=True)
class _Rounds:
    """``rss_mib``: the agent's peak while it pulled, of all rounds."""

    source: Registry
    pid: int
    layers: Layers
    options: Options
    rss_mib: float = 0.0

    async def run(self, everyone: Sequence[Peer]) -> dict[str, Times]:
        times = {each.name: Times() for each in everyone}
        for turn in range(self.options.rounds + 1):
            begin = turn % len(everyone)
            for peer in (*everyone[begin:], *everyone[:begin]):
                await self._turn(peer, times[peer.name] if turn > 0 else Times())
        return times

    async def _turn(self, peer: Peer, times: Times) -> None:
        peer.accounts[0].enter(os.getpid())
        if self.options.disk:
            await asyncio.to_thread(peers.flush)
        peers.forget_peak(self.pid)
        self.source.transfers()
        cpu = used_s(peer.accounts)
        times.first.append(await _timed(peer, BIG))
        times.cpu.append(used_s(peer.accounts) - cpu)
        _all_fetched(self.source.transfers(), self.layers.big, peer.name)
        times.again.append(await _timed(peer, BIG))
        self.rss_mib = max(self.rss_mib, peers.peak_rss_mib(self.pid))
        await peer.remove(BIG)


def _all_fetched(transfers: Sequence[Transfer], layers: Sequence[Made], who: str) -> None:
    """Raises ProgramFailed: ``who`` had layers already, so that nothing was measured."""
    fetched = {each.digest for each in transfers}
    known = [each.digest for each in layers if each.digest not in fetched]
    if known:
        raise ProgramFailed(f"{who} had layers already: {', '.join(known)}")


async def _timed(peer: Peer, reference: str) -> float:
    began = time.perf_counter()
    await peer.pull(reference)
    return time.perf_counter() - began


def _fill(report: Report, times: dict[str, Times]) -> None:
    ours = times[OURS].first
    medians = {name: summary(each.first).median for name, each in times.items()}
    for name, peer in PEERS.items():
        if peer in times:
            report.ratios[name] = ratio(ours, times[peer].first)
    others = [name for name in medians if name != OURS]
    if others:
        best = min(others, key=lambda name: medians[name])
        report.ratios["pull/best"] = ratio(ours, times[best].first)
    for name, each in times.items():
        report.figures[f"{name.split()[0]}_pull_s"] = summary(each.first).median
        report.figures[f"{name.split()[0]}_cpu_s"] = summary(each.cpu).median
    report.figures["known_ms"] = summary(times[OURS].again).median * 1000
    rows = [
        (
            name,
            spread(summary(each.first)),
            f"{ratio(ours, each.first):.2f}",
            f"{summary(each.cpu).median * 1000:.0f}",
            spread(summary(each.again), 1),
        )
        for name, each in times.items()
    ]
    headings = ("ms: median (quartiles, min)", "first", "ours/its", "cpu", "again")
    report.sections.append(table(headings, rows))


def _image(layers: Layers, options: Options) -> str:
    size = sum(each.size for each in layers.big)
    place = "on this machine's disk" if options.disk else "in memory (tmpfs), so no disk decides"
    return (
        f"{len(layers.big)} layers, {size / 1e6:.0f} MB of gzip; registry and all stores {place}."
        " Others are measured with their command line, Hostler at its API."
    )


async def _one_layer(report: Report, source: Registry, ours: Peer, layers: Layers) -> None:
    """Bytes that an image moves of which all layers but one are here, against that one's size."""
    await ours.pull(BIG)
    source.transfers()
    await ours.pull(CHANGED_BIG)
    transfers = source.transfers()
    _all_fetched(transfers, [layers.changed], ours.name)
    moved = sum(each.size for each in transfers)
    report.figures["moved_one_layer"] = moved / layers.changed.size
    report.sections.append(
        f"layer {CHANGED + 1} of {len(layers.big)} changed: {moved} bytes moved,"
        f" the layer has {layers.changed.size}"
    )
    for each in (BIG, CHANGED_BIG):
        await ours.remove(each)


async def _many_tasks(report: Report, source: Registry, running: Agent, layers: Layers) -> None:
    """How often the blob that was fetched most was, when many tasks begin with a new image."""
    container = {"name": "c", "image": RUNNABLE, "memory": MEMORY_MIB, "command": list(SLEEPER)}
    definition = {"family": "new", "networkMode": "none", "containerDefinitions": [container]}
    await running.ecs("RegisterTaskDefinition", **definition)
    source.transfers()
    answer = await running.ecs("RunTask", taskDefinition="new", count=TASKS)
    arns = [task["taskArn"] for task in answer["tasks"]]
    waiter = Waiter(running)
    await asyncio.gather(*(waiter.until(arn, "RUNNING") for arn in arns))
    transfers = source.transfers()
    _all_fetched(transfers, layers.runnable, OURS)
    times = Counter(each.digest for each in transfers)
    report.figures["ten_tasks_transfers"] = max(times.values())
    report.sections.append(
        f"{TASKS} tasks with a new image: {sum(times.values())} transfers, of"
        f" {len(times)} blobs and manifests"
    )
    await asyncio.gather(*(running.ecs("StopTask", task=arn) for arn in arns))
    await asyncio.gather(*(waiter.until(arn, "closed") for arn in arns))
