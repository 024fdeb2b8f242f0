"""``bench start``: how long the agent takes to start, what that time goes to, and the package.

``cold`` is from the start of the program until it says READY=1, beside a containerd that runs, with
no task to take up and no log router there yet, all files in the page cache and all modules
compiled. In the same rounds: a Python that does nothing, one that imports the two largest libraries
of the agent (the floor), and two commands of the command line. ``restart50`` is from the signal
that ends an agent with 50 running tasks until the next one says READY=1.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import children, imports, package
from bench.children import Run
from bench.command import Options
from bench.manager import Manager, manager
from bench.peers.hostlerfleet import HostlerFleet
from bench.report import Report, conditions, spread, table
from bench.starting import Start, end_tasks, running_tasks, started
from bench.summary import ratio, summary
from bench.versions import versions
from bench.world import World

NAME = "start"
TASKS = 50
TARGETS = {"cold_s": 1.0, "restart50_s": 1.5, "package_mb": 60.0}
TRACED = 5
"""Starts whose steps are looked at."""

SETTLE_S = 1.0
_ENV = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(Path(__file__).parents[1])}
# Without PYTHONDONTWRITEBYTECODE, if that is set: what is measured is what a package installs.
_HOSTLER = (sys.executable, "-m", "agent")
PROGRAMS = {
    "python": (sys.executable, "-c", "pass"),
    "floor": (sys.executable, "-c", "import grpc, aiohttp"),
    "version": (*_HOSTLER, "version"),
}
_SAID = {
    "python": "python -c pass",
    "floor": "python -c 'import grpc, aiohttp'",
    "version": "hostler version",
    "ps": "hostler ps, no task",
}


@dataclass(slots=True)
class Rounds:
    """What was measured in turns: starts of the agent, and programs by their names."""

    starts: list[Start] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)


async def measure(world: World, options: Options) -> Report:
    """Starts the agent again and again: alone, looked at, and with tasks."""
    report = Report(targets=TARGETS)
    report.sections.append(conditions(options.rounds, await versions()))
    with manager(world.scratch / "notify") as hearing:
        async with started(world, hearing, NAME):
            pass  # compiles the modules, if nobody has
        rounds = Rounds()
        for _ in range(options.rounds):
            await _round(world, hearing, rounds)
        _fill_cold(report, rounds)
        report.sections.append(await _steps(world, hearing, min(TRACED, options.rounds)))
        report.sections.append(await _imports(world, hearing))
        await _restarts(world, hearing, options.rounds, report)
    await asyncio.to_thread(_weigh, world.scratch, report)
    return report


async def _round(world: World, hearing: Manager, rounds: Rounds) -> None:
    for name, command in PROGRAMS.items():
        rounds.runs.setdefault(name, []).append(await children.run(command, _ENV))
    async with started(world, hearing, NAME) as (_, start):
        rounds.starts.append(start)
        asked = (*_HOSTLER, "ps", "--socket", str(world.scratch / NAME / "run" / "api.sock"))
        rounds.runs.setdefault("ps", []).append(await children.run(asked, _ENV))


def _fill_cold(report: Report, rounds: Rounds) -> None:
    cold = [each.ready_s for each in rounds.starts]
    cpu = [each.cpu_s for each in rounds.starts]
    report.figures |= {"cold_s": summary(cold).median, "cold_cpu_s": summary(cpu).median}
    rows = [("agent, until READY=1", spread(summary(cold)), spread(summary(cpu)))]
    for name, runs in rounds.runs.items():
        wall = summary([each.wall_s for each in runs])
        used = summary([each.cpu_s for each in runs])
        report.figures |= {f"{name}_ms": wall.median * 1000, f"{name}_cpu_ms": used.median * 1000}
        rows.append((_SAID[name], spread(wall), spread(used)))
    floor = rounds.runs["floor"]
    report.ratios["cold/floor"] = ratio(cold, [each.wall_s for each in floor])
    report.ratios["cold cpu/floor cpu"] = ratio(cpu, [each.cpu_s for each in floor])
    report.sections.append(table(("start", "ms", "its CPU, ms"), rows))


async def _steps(world: World, hearing: Manager, rounds: int) -> str:
    """A table: when each step of a start began and how long it took. Some are done at once."""
    file = world.scratch / "steps.json"
    command = (sys.executable, "-m", "bench.traced", str(file))
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        async with started(world, hearing, NAME, command=command) as (_, start):
            for name, at, took in json.loads(file.read_text()):
                found.setdefault(name, []).append((at - start.began, took))
    medians = [
        (*map(statistics.median, zip(*times, strict=True)), name) for name, times in found.items()
    ]
    rows = [(name, f"{at * 1000:.1f}", f"{took * 1000:.1f}") for at, took, name in sorted(medians)]
    return table(("step of a start", "at, ms", "took, ms"), rows)


async def _imports(world: World, hearing: Manager) -> str:
    """Tables: what the imports of a start cost, in one start that told of each."""
    async with started(world, hearing, NAME, settings=imports.PROFILED):
        said = (world.scratch / NAME / "log").read_text()
    return imports.tables(imports.read(said.splitlines()))


async def _restarts(world: World, hearing: Manager, rounds: int, report: Report) -> None:
    ended, whole, starts = 0.0, list[float](), list[Start]()
    for turn in range(rounds + 1):
        async with started(world, hearing, NAME, SETTLE_S) as (running, start):
            if turn == 0:
                fleet = HostlerFleet(world, running)
                await fleet.open()
                await fleet.start(TASKS)
            else:
                whole.append(start.ready - ended)
                starts.append(start)
            assert len(await running_tasks(running)) == TASKS
            if turn == rounds:
                await end_tasks(running)
            ended = time.monotonic()
    took, cpu = summary(whole), summary([each.cpu_s for each in starts])
    report.figures |= {f"restart{TASKS}_s": took.median, f"restart{TASKS}_cpu_s": cpu.median}
    report.sections.append(
        table(
            (f"restart with {TASKS} tasks", "ms"),
            [
                ("from SIGTERM to the next one's READY=1", spread(took)),
                ("of that: from its start", spread(summary([each.ready_s for each in starts]))),
                ("its CPU from its start", spread(cpu)),
            ],
        )
    )


def _weigh(scratch: Path, report: Report) -> None:
    found = package.newest()
    if found is None:
        report.sections.append("no package in dist: make one with ./dev deb")
        return
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.stat().st_mtime))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        weight = package.weight(found, Path(folder))
    report.figures["package_mb"] = weight.installed_mb
    took = f"{weight.installed_mb:.1f} MB installed, {weight.disk_mb:.1f} MB of disk"
    report.sections.append(f"{found.name} of {made}: {took}")
