"""``bench soak``: tasks of many kinds come and go at random while the agent is killed.

For the first three quarters of its time the agent gets SIGKILL every few seconds; then one lives
on, whose memory is watched. ``lost`` are tasks that were accepted and did not come to the end that
is theirs; ``leaked`` is what is on the host in the end and was not in the beginning, by kind.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Mapping

import psutil

from bench.command import Options
from bench.peers.hostler import Agent
from bench.report import Report, conditions, table
from bench.soak import left
from bench.soak.kinds import KINDS
from bench.soak.load import NAME, Account, Customer, Victim
from bench.versions import versions
from bench.world import World

CUSTOMERS = 8
SEED = 1
LIVES_S = (2.0, 6.0)
"""From which to which time an agent lives before it is killed."""

PART_KILLED = 0.75
TELL_S = 10.0
SETTLED_S = 30.0
_MIB = 2**20


async def measure(world: World, options: Options) -> Report:
    """Runs for ``options.minutes``, and as long as the last tasks take."""
    report, account = Report(), Account()
    report.sections.append(conditions(options.rounds, await versions()))
    victim, began = Victim(world, account), time.monotonic()
    until = began + options.minutes * 60
    async with victim.serving() as first:
        for kind in KINDS:
            await first.ecs("RegisterTaskDefinition", **kind.definition)
        await _one_of_each(victim, account)
        before = await left.counts(world, NAME)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell(account, began))
        customers = [
            group.create_task(Customer(victim, account, random.Random(SEED + each)).live(until))
            for each in range(CUSTOMERS)
        ]
        await victim.live(_lives(began + options.minutes * 60 * PART_KILLED))
        async with victim.serving() as last:
            first_mib = await _settled_mib(last)
            done = account.done.total()
            await asyncio.wait(customers)
            telling.cancel()
            growth = psutil.Process(last.pid).memory_info().rss / _MIB - first_mib
            leaked = await _leaked(world, before)
            leaked["state of forgotten tasks"] = left.kept(world, NAME, await _known(last))
            more = account.done.total() - done
    _fill(report, account, leaked, time.monotonic() - began)
    report.figures["rss_growth_mb"] = growth
    report.sections.append(f"the last agent: {growth:+.1f} MiB in {more} tasks")
    return report


async def _one_of_each(victim: Victim, account: Account) -> None:
    """What the first task of a kind brings that stays, such as its image, is there."""
    customer = Customer(victim, account, random.Random(SEED))
    for kind in KINDS:
        await customer.task(kind)


def _lives(until: float) -> Iterator[float]:
    chance = random.Random(SEED)
    while time.monotonic() < until:
        yield chance.uniform(*LIVES_S)


async def _settled_mib(running: Agent) -> float:
    """The agent's memory when it has warmed up."""
    await asyncio.sleep(SETTLED_S / 2)
    return float(psutil.Process(running.pid).memory_info().rss / _MIB)


async def _tell(account: Account, began: float) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        print(
            f"{time.monotonic() - began:5.0f} s: {account.accepted} accepted,"
            f" {account.done.total()} done, {account.kills} kills, {len(account.lost)} lost",
            file=sys.stderr,
            flush=True,
        )


async def _leaked(world: World, before: left.Counts) -> dict[str, int]:
    """By kind, once nothing is, or when what takes its time has had enough."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        now = await left.counts(world, NAME)
        leaked = {kind: max(now[kind] - before[kind], 0) for kind in now}
        if not any(leaked.values()) or time.monotonic() > deadline:
            return leaked
        await asyncio.sleep(1.0)


async def _known(running: Agent) -> set[str]:
    """Ids of all tasks that are not forgotten."""
    found = set[str]()
    for wanted in ("RUNNING", "STOPPED"):
        more: Mapping[str, str] | None = {}
        while more is not None:
            answer = await running.ecs("ListTasks", desiredStatus=wanted, **more)
            found |= {each.rpartition("/")[2] for each in answer["taskArns"]}
            more = {"nextToken": answer["nextToken"]} if "nextToken" in answer else None
    return found


def _fill(report: Report, account: Account, leaked: Mapping[str, int], took_s: float) -> None:
    figures = {
        "lost": float(len(account.lost)),
        "leaked": float(sum(leaked.values())),
        "tasks": float(account.done.total()),
        "kills": float(account.kills),
        "tasks_per_minute": account.done.total() / took_s * 60,
        **{f"leaked_{kind.replace(' ', '_')}": float(many) for kind, many in leaked.items()},
    }
    report.figures.update(figures)
    report.targets = {"lost": 0.0, "leaked": 0.0}
    rows = [(kind, str(many)) for kind, many in sorted(account.done.items())]
    report.sections.append(table(("kind", "tasks"), rows))
    report.sections.append(table(("left behind", ""), [(k, str(n)) for k, n in leaked.items()]))
    report.sections.append(
        f"{account.done.total()} tasks, {account.kills} kills of the agent in {took_s:.0f} s"
    )
    report.sections += [f"lost: {each}" for each in account.lost]
