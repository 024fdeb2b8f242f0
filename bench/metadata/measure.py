"""``bench metadata``: what tasks pay when they ask about themselves, beside a bare server.

An agent with twenty tasks is asked from inside one of them, and in turn with it a server that does
nothing but answer: aiohttp's low-level one, with bodies as long, in a process and namespace of its
own. ``rps`` is with sixteen connections, ``cpu`` the agent's own CPU time for one request then,
and ``p99`` the answer time at half of that rate while twenty more tasks start and stop.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import psutil

from bench import programs
from bench.command import Options
from bench.metadata import sweep
from bench.metadata.load import Loaded, Server, Watched, load, watch
from bench.peers.hostler import Agent, agent
from bench.peers.hostlerfleet import HostlerFleet
from bench.programs import ProgramFailed, started
from bench.report import Report, conditions, table
from bench.summary import ratio, summary
from bench.versions import versions
from bench.world import World

TASKS = 20
CHURNS = 2
SETTINGS = {
    "ECS_TASK_METADATA_RPS_LIMIT": "100000000,100000000",
    "ECS_AUDIT_LOGFILE_DISABLED": "true",
}
URI = "ECS_CONTAINER_METADATA_URI_V4"
PATHS = {"container": "", "task": "/task", "stats": "/stats", "task_stats": "/task/stats"}
CONNECTIONS = (1, 16)
OURS, FLOOR = "hostler", "bare aiohttp"
TARGETS = {"task_cpu_us": 100.0, "stats_cpu_us": 100.0, "p99_ms": 10.0}
LEAST = {"task_rps/bare": 0.8, "stats_rps/bare": 0.8}

Runs = dict[tuple[str, str, int], list[Loaded]]
"""By server, what is asked and the number of connections: one for each round."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A server, and its path for each thing that is asked."""

    server: Server
    paths: Mapping[str, str]


async def measure(world: World, options: Options) -> Report:
    """Runs the rounds, each server in turn."""
    report = Report(targets=TARGETS, least=LEAST)
    async with agent(world, "asked", SETTINGS) as running:
        fleet = HostlerFleet(world, running)
        await fleet.open()
        await fleet.start(TASKS)
        ours = Asked(_inside(running.pid), PATHS)
        async with _floor(await _sizes(ours.server)) as bare:
            report.sections.append(conditions(options.rounds, await _versions()))
            runs = await _rounds((ours, bare), options.rounds)
            _fill(report, runs)
            await _restless(report, world, running, (ours, bare))
        await fleet.stop()
    await _sampling(report)
    return report


async def _versions() -> dict[str, str]:
    return {**await versions(), "aiohttp": aiohttp.__version__}


def _inside(agent_pid: int) -> Server:
    """The agent's server as one of the tasks has it, by the environment of that task."""
    for process in psutil.process_iter():
        uri = process.environ().get(URI) if process.name() == "sleep" else None
        if uri:
            return Server(OURS, agent_pid, process.pid, uri)
    raise ProgramFailed(f"no task has {URI} in its environment")


async def _sizes(server: Server) -> dict[str, int]:
    """How long the answers are."""
    found = {}
    for name, path in PATHS.items():
        code = f"import urllib.request as u; print(len(u.urlopen('{server.base}{path}').read()))"
        found[name] = int(await programs.run(*server.enter, programs.PYTHON, "-c", code))
    return found


@asynccontextmanager
async def _floor(sizes: Mapping[str, int]) -> AsyncIterator[Asked]:
    """The bare server, in a network namespace of its own."""
    command = ("-m", "bench.metadata.floor", *map(str, sizes.values()))
    async with started("unshare", "--net", programs.PYTHON, *command) as process:
        assert process.stdout is not None
        async with asyncio.timeout(programs.READY_S):
            await process.stdout.readline()
        server = Server(FLOOR, process.pid, process.pid, "http://127.0.0.1")
        yield Asked(server, {name: f"/{size}" for name, size in sizes.items()})


async def _rounds(every: tuple[Asked, ...], rounds: int) -> Runs:
    """Each server begins every other time; an unmeasured round comes first."""
    runs: Runs = {}
    for turn in range(rounds + 1):
        for name in PATHS:
            for connections in CONNECTIONS:
                for asked in every if turn % 2 else reversed(every):
                    run = await load(asked.server, asked.paths[name], connections)
                    if turn > 0:
                        runs.setdefault((asked.server.name, name, connections), []).append(run)
    return runs


def _fill(report: Report, runs: Runs) -> None:
    rows = []
    for name in PATHS:
        for connections in CONNECTIONS:
            ours, bare = (runs[each, name, connections] for each in (OURS, FLOOR))
            key = f"{name}_rps" if connections == max(CONNECTIONS) else f"{name}_rps{connections}"
            rates = [each.rate for each in ours], [each.rate for each in bare]
            report.ratios[f"{key}/bare"] = ratio(*rates)
            report.figures[key], report.figures[f"bare_{key}"] = map(statistics.median, rates)
            for who, every in ((OURS, ours), (FLOOR, bare)):
                rows.append((f"{name}, {connections}: {who}", *_row(every)))
        for prefix, who in (("", OURS), ("bare_", FLOOR)):
            costs = [each.cpu_s * 1e6 for each in runs[who, name, max(CONNECTIONS)]]
            report.figures[f"{prefix}{name}_cpu_us"] = statistics.median(costs)
    headings = (
        "what, connections: who",
        "req/s (quartiles)",
        "p50 ms",
        "p99 ms",
        "CPU µs a request",
    )
    report.sections.append(table(headings, rows))


async def _sampling(report: Report) -> None:
    """What the figures behind the statistics cost, whether anybody asks for them or not."""
    found = await asyncio.to_thread(sweep.cpu_us_per_container)
    report.figures["sampler_us_per_container"] = found[max(found)]
    rows = [(f"{count} containers", f"{cost:.1f}") for count, cost in found.items()]
    report.sections.append(table(("a sample of all", "CPU µs a container"), rows))


def _row(every: Sequence[Loaded]) -> tuple[str, ...]:
    rates = summary([each.rate for each in every])
    p50, p99, cpu = (
        statistics.median(values)
        for values in zip(*((each.p50_s, each.p99_s, each.cpu_s) for each in every), strict=True)
    )
    return (
        f"{rates.median:.0f} ({rates.p25:.0f}-{rates.p75:.0f})",
        f"{p50 * 1e3:.2f}",
        f"{p99 * 1e3:.2f}",
        f"{cpu * 1e6:.0f}",
    )


async def _restless(report: Report, world: World, running: Agent, every: Sequence[Asked]) -> None:
    """Under half of the agent's most requests, by both servers in turn, while tasks come and go."""
    rate = report.figures["task_rps"] / 2
    fleet = HostlerFleet(world, running)
    await fleet.open()

    async def churn() -> None:
        for _ in range(TASKS):
            await fleet.start(1)
            await fleet.stop()

    found: dict[str, list[Watched]] = {OURS: [], FLOOR: []}
    for _ in range(CHURNS):
        for asked in every:
            watched = await watch(asked.server, asked.paths["task"], rate, churn)
            found[asked.server.name].append(watched)
    rows = []
    for who, key in ((OURS, "p99_ms"), (FLOOR, "bare_p99_ms")):
        report.figures[key] = statistics.median(each.p99_s for each in found[who]) * 1e3
        reached = statistics.median(each.rate for each in found[who])
        rows.append((who, f"{reached:.0f}", f"{report.figures[key]:.2f}"))
    report.ratios["p99/bare"] = report.figures["p99_ms"] / report.figures["bare_p99_ms"]
    heading = f"task, while {TASKS} tasks start and stop in turn"
    report.sections.append(table((heading, "req/s", "p99 ms"), rows))
