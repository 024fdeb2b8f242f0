"""``bench adopt``: an agent that finds 200 tasks running, and what tasks cost the agent.

``adopt200`` is from the start of the program until it says READY=1, with 200 tasks to take up that
an agent before it has left running. ``event`` is the agent's CPU time for one more task, from
accepted to gone, beside so many others: it must not grow with them. Memory is the agent's alone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psutil

from bench.command import Options
from bench.manager import manager
from bench.peers.hostler import Agent, Waiter, agent, definition
from bench.peers.hostlerfleet import HostlerFleet
from bench.planning import plan10_us
from bench.report import Report, conditions, spread, table
from bench.starting import Start, cpu_s, end_tasks, running_tasks, started
from bench.summary import summary
from bench.versions import versions
from bench.world import QUITTER, World, ready

NAME = "adopt"
SIZES = (10, 50, 200)
"""Tasks beside which one more is measured; with the last of them the agent is started again."""

EVENTS = 20
TARGETS = {"adopt200_s": 2.0, "rss200_mb": 40.0, "event200/event10": 1.5, "gap200_ms": 500.0}
SETTLE_S = 3.0
BEAT_S = 0.05
HEART = ("sh", "-c", f"trap 'exit 0' TERM; while :; do echo; usleep {BEAT_S * 1e6:.0f}; done")


async def measure(world: World, options: Options) -> Report:
    """Fills the host task by task, then starts the agent again and again."""
    report = Report(targets=TARGETS)
    report.sections.append(conditions(options.rounds, await versions()))
    with manager(world.scratch / "notify") as hearing:
        async with started(world, hearing, NAME, SETTLE_S) as (_, empty):
            pass
        async with started(world, hearing, NAME, SETTLE_S) as (running, _):
            await _filled(world, running, report)
            heart = await _heart(running)
            before = await _lives(running)
        starts = []
        for _ in range(options.rounds):
            async with started(world, hearing, NAME, SETTLE_S) as (running, start):
                starts.append(start)
                assert await _lives(running) == before, "the start of an agent ended containers"
        async with agent(world, NAME) as running:
            gap = await _longest_gap(running, heart)
            await end_tasks(running)
    _fill(report, empty, starts, gap)
    return report


async def _filled(world: World, running: Agent, report: Report) -> None:
    """The last of SIZES tasks run; what one more costs beside each number is in the report."""
    fleet = HostlerFleet(world, running)
    await fleet.open()
    await running.ecs("RegisterTaskDefinition", **definition("quitter", "none", QUITTER))
    done, rows = 0, []
    for size in SIZES:
        await fleet.start(size - done)
        await ready(fleet.accounts[0], size)
        done = size
        await asyncio.sleep(SETTLE_S)
        cost = await _event_s(running)
        report.figures[f"event{size}_ms"] = cost * 1000
        rows.append((str(size), f"{cost * 1000:.1f}"))
    first, last = (report.figures[f"event{size}_ms"] for size in (SIZES[0], SIZES[-1]))
    report.ratios[f"event{SIZES[-1]}/event{SIZES[0]}"] = last / first
    report.sections.append(table(("tasks beside it", "agent's CPU for one more, ms"), rows))


async def _event_s(running: Agent) -> float:
    """CPU seconds of the agent for a task from accepted to gone."""
    process, waiter = psutil.Process(running.pid), Waiter(running)
    before = cpu_s(process)
    for _ in range(EVENTS):
        answer = await running.ecs("RunTask", taskDefinition="quitter")
        await waiter.until(answer["tasks"][0]["taskArn"], "closed")
    return (cpu_s(process) - before) / EVENTS


async def _heart(running: Agent) -> str:
    """The ARN of a task that says something every ``BEAT_S``."""
    await running.ecs("RegisterTaskDefinition", **definition("heart", "bridge", HEART))
    answer = await running.ecs("RunTask", taskDefinition="heart")
    arn: str = answer["tasks"][0]["taskArn"]
    await Waiter(running).until(arn, "RUNNING")
    return arn


async def _lives(running: Agent) -> Mapping[str, Any]:
    """When the containers of each running task started, by its ARN."""
    return {each["taskArn"]: each["startedAt"] for each in await running_tasks(running)}


async def _longest_gap(running: Agent, arn: str) -> float:
    """Seconds between two beats of the heart, at most."""
    cursor, times = "", list[float]()
    while True:
        answer = await running.call("GetLogs", task=arn, container="c", cursor=cursor)
        times += [datetime.fromisoformat(each["time"]).timestamp() for each in answer["entries"]]
        if answer["cursor"] in ("", cursor):
            break
        cursor = answer["cursor"]
    return max(b - a for a, b in itertools.pairwise(times))


def _fill(report: Report, empty: Start, starts: list[Start], gap: float) -> None:
    size = SIZES[-1]
    took = summary([each.ready_s for each in starts])
    rss = summary([each.rss_mib for each in starts])
    report.figures.update(
        {
            f"adopt{size}_s": took.median,
            "adopt0_s": empty.ready_s,
            f"adopt{size}_cpu_s": summary([each.cpu_s for each in starts]).median,
            f"settled{size}_cpu_s": summary([each.settled_cpu_s for each in starts]).median,
            "adopt0_cpu_s": empty.cpu_s,
            "settled0_cpu_s": empty.settled_cpu_s,
            f"rss{size}_mb": rss.median - empty.rss_mib,
            "rss0_mb": empty.rss_mib,
            f"gap{size}_ms": gap * 1000,
        }
    )
    report.figures["plan10_us"] = plan10_us()
    rows = [
        ("until READY, ms", f"{empty.ready_s * 1000:.0f}", spread(took)),
        ("its CPU until READY, ms", *_both(report, "adopt", "_cpu_s", 1000)),
        ("its CPU until all is quiet, ms", *_both(report, "settled", "_cpu_s", 1000)),
        ("RSS, MiB", f"{empty.rss_mib:.1f}", f"{rss.median:.1f}"),
        (f"longest gap in a beat of {BEAT_S * 1000:.0f} ms", "", f"{gap * 1000:.0f}"),
    ]
    report.sections.append(table(("start of an agent", "no tasks", f"{size} tasks"), rows))


def _both(report: Report, name: str, unit: str, times: float) -> tuple[str, str]:
    """A figure without tasks and with all of them."""
    found = (report.figures[f"{name}{size}{unit}"] for size in (0, SIZES[-1]))
    none, all_ = (f"{each * times:.0f}" for each in found)
    return none, all_
