"""``bench launch``: one container, from asking for it to gone, by Hostler and by its peers.

``start`` is from the request to the moment at which the client knows that the container runs (so
for Hostler accepting the task is in it), ``stop`` from the request to ended (Hostler: STOPPED),
``cpu`` all CPU time from start to removed, ``once`` from the request to removed for a program that
ends at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack

from bench.command import Options
from bench.density import Density, density
from bench.peers.bare import open_bare
from bench.peers.ctr import open_ctr
from bench.peers.docker import command_line, dockerd
from bench.peers.hostler import Hostler, agent, open_hostler
from bench.peers.podman import open_podman
from bench.peers.runc import open_runc
from bench.peers.spec import filtered, plain
from bench.programs import Missing
from bench.report import Report, conditions, spread, table
from bench.rounds import Life, Peer, alternate
from bench.steps import steps_table
from bench.summary import ratio, summary
from bench.versions import versions
from bench.world import World

OURS = "hostler bridge"
MODES = ("bridge", "host", "none")
PEERS = {
    "launch/runc": "runc run",
    "launch/ctr": "ctr run -d",
    "launch/docker": "docker run -d",
    "launch/podman": "podman run -d",
    "launch/bare": "bare gRPC",
}
TARGETS = {
    "launch/ctr": 1.0,
    "launch/docker": 0.4,
    "launch/bare": 1.25,
    "stop/docker": 0.6,
    "cpu/bare": 1.2,
    "rss50_mb": 90,
    "idle_cpu_pct": 0.5,
}


async def measure(world: World, options: Options) -> Report:
    """Runs the rounds, then fifty tasks at rest."""
    report = Report(targets=TARGETS)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(agent(world, "launch"))
        ours = [await open_hostler(world, running, mode) for mode in MODES]
        peers: list[Peer] = [*await _peers(world, stack, report), *ours]
        report.sections.append(conditions(options.rounds, await versions()))
        lives = await alternate(peers, options.rounds)
    _fill(report, lives)
    report.sections.append(_table(lives))
    report.sections.append(steps_table(ours[0].timelines[1:]))
    _stopped(report, ours)
    _rest(report, await density(world, options.idle_s))
    return report


async def _peers(world: World, stack: AsyncExitStack, report: Report) -> list[Peer]:
    """Those that are installed and work; the report says which are not."""
    found: list[Peer] = []

    async def docker() -> Peer:
        return command_line(world, await stack.enter_async_context(dockerd(world)))

    candidates: Sequence[Awaitable[Peer]] = (
        open_runc(world),
        open_ctr(world),
        open_bare(world, "bare gRPC", plain()),
        open_bare(world, "bare gRPC, seccomp", filtered()),
        docker(),
        open_podman(world),
    )
    for each in candidates:
        try:
            found.append(await each)
        except Missing as error:
            report.sections.append(f"left out: {error}")
    return found


def _fill(report: Report, lives: Mapping[str, Sequence[Life]]) -> None:
    ours = lives[OURS]
    starts = [each.start_s for each in ours]
    for name, peer in PEERS.items():
        if peer in lives:
            report.ratios[name] = ratio(starts, [each.start_s for each in lives[peer]])
    if "docker run -d" in lives:
        theirs = [each.stop_s for each in lives["docker run -d"]]
        report.ratios["stop/docker"] = ratio([each.stop_s for each in ours], theirs)
    bare = [each.cpu_s for each in lives["bare gRPC"]]
    report.ratios["cpu/bare"] = ratio([each.cpu_s for each in ours], bare)
    for name, peer_lives in lives.items():
        key = name.replace(",", "").replace(" ", "_").replace("-", "")
        for what in ("start", "stop", "cpu", "once"):
            values = [getattr(each, f"{what}_s") for each in peer_lives]
            report.figures[f"{key}_{what}_ms"] = summary(values).median * 1000


def _table(lives: Mapping[str, Sequence[Life]]) -> str:
    rows = [
        (
            name,
            spread(summary([each.start_s for each in every])),
            f"{ratio([each.start_s for each in lives[OURS]], [e.start_s for e in every]):.2f}",
            spread(summary([each.stop_s for each in every])),
            spread(summary([each.cpu_s for each in every])),
            spread(summary([each.once_s for each in every])),
        )
        for name, every in lives.items()
    ]
    headings = ("ms: median (quartiles, min)", "start", "ours/its", "stop", "cpu", "once")
    return table(headings, rows)


def _stopped(report: Report, ours: Sequence[Hostler]) -> None:
    """RunTask accepted to STOPPED for a program that ends at once, by the tasks' own timelines."""
    lines = []
    for each in ours:
        times = [
            next(step["at"] for step in steps if step["what"] == "stopped") - accepted
            for accepted, steps in each.once_timelines[1:]
        ]
        found = summary(times)
        report.figures[f"{each.name.replace(' ', '_')}_accepted_to_stopped_ms"] = (
            found.median * 1000
        )
        lines.append((each.name, spread(found)))
    report.sections.append(table(("true: accepted to STOPPED", "ms"), lines))


def _rest(report: Report, found: Density) -> None:
    report.figures.update(
        rss50_mb=found.rss_mib,
        pss50_mb=found.pss_mib,
        idle_cpu_pct=found.idle_cpu_pct,
        shims_per_task=found.shims_per_task,
    )
    report.sections.append(
        f"agent with 50 tasks: RSS {found.rss_mib:.1f} MiB, PSS {found.pss_mib:.1f} MiB, at rest"
        f" {found.idle_cpu_pct:.2f} % of a CPU; {found.shims_per_task:.2f} shims a task"
    )
