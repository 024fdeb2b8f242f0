"""What the agent needs while fifty tasks run: memory, CPU at rest, shims."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.peers.hostler import NAMESPACE, agent
from bench.peers.hostlerfleet import HostlerFleet
from bench.world import World

TASKS = 50
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Density:
    """Of the agent alone, with fifty running tasks, but for ``shims_per_task``."""

    rss_mib: float
    pss_mib: float
    idle_cpu_pct: float
    shims_per_task: float


async def density(world: World, idle_s: float) -> Density:
    """Starts a fresh agent and fifty tasks, watches it for ``idle_s`` seconds, stops all."""
    async with agent(world, "dense") as running:
        fleet = HostlerFleet(world, running)
        await fleet.open()
        await fleet.start(TASKS)
        process = psutil.Process(running.pid)
        shims = sum(_is_shim(each) for each in psutil.process_iter())
        before = process.cpu_times()
        await asyncio.sleep(idle_s)
        after, memory = process.cpu_times(), process.memory_full_info()
        used = after.user + after.system - before.user - before.system
        await fleet.stop()
    return Density(memory.rss / _MIB, memory.pss / _MIB, used / idle_s * 100, shims / TASKS)


def _is_shim(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    return bool(command) and "shim" in Path(command[0]).name and NAMESPACE in command
