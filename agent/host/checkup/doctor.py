"""The running agent's doctor: what it alone can know of its tasks, and the checks of the host.

Mending is apart: the agent takes away what its own tasks have left and puts its part of
the firewall in order; everything else is for the operator, who is told how.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError
from agent.host.cgroups.tasks import TaskCgroups
from agent.host.checkup import host, resources
from agent.host.checkup.containerd import PATIENCE_S
from agent.host.checkup.outcomes import Finding, Outcome, Unseen, warning
from agent.host.checkup.subject import Subject
from agent.host.leftovers.strays import Stray, Strays
from agent.host.network.networking import Networking
from agent.task.model import TaskId
from cni.errors import CNIError
from cni.faults import blackhole
from cni.firewall import coexistence, ruleset


@dataclass(frozen=True, slots=True)
class Alive:
    """What is not over: tasks, and the ids of their sandboxes. ``known`` are all tasks."""

    tasks: Collection[TaskId]
    sandboxes: Collection[str]
    known: Collection[TaskId] = ()

    def with_strays(self, strays: Collection[Stray]) -> Alive:
        """The same with what belongs to no task but is not to be taken away unasked."""
        tasks = [*self.tasks, *(each.task_id for each in strays)]
        sandboxes = [*self.sandboxes, *(one for each in strays for one in each.sandboxes)]
        return Alive(tasks, sandboxes, self.known)


Check = Callable[[Networking, Alive], AsyncIterator[Finding]]


@dataclass(frozen=True, slots=True)
class Doctor:
    """Looks at this host: its containers and what they run in, its network, its credentials."""

    subject: Subject
    client: Containerd
    networking: Networking
    cgroups: TaskCgroups
    strays: Strays

    async def find(self, alive: Alive) -> list[Outcome]:
        """All that any check says, in their order; changes nothing."""
        outcomes, accounted = await self._unknown(alive)
        for name, check in CHECKS:
            if accounted is None and check is _orphans:
                why = "without containerd nobody knows which containers live"
                outcomes.append(Unseen(name, why))
            else:
                outcomes += await self._contained(name, check, accounted or alive)
        process = (resources.CHECK, resources.check_process)
        examined = await host.examine(self.subject, self.client, process)
        return [*outcomes, *_limits(self.cgroups), *examined]

    async def _unknown(self, alive: Alive) -> tuple[list[Outcome], Alive | None]:
        """What tasks that are not known have here; and all that is alive, if that can be told."""
        try:
            await self.client.version(timeout=PATIENCE_S)  # a listing would wait for a minute
            strays = await self.strays.find(alive.known)
            theirs = [*alive.known, *(each.task_id for each in strays)]
            data = await self.strays.data(theirs)
        except (ContainerdError, OSError) as error:
            return [Unseen("strays", str(error))], None
        return [*map(_stray, strays), *map(_data, data)], alive.with_strays(strays)

    async def _contained(self, name: str, check: Check, alive: Alive) -> list[Outcome]:
        try:
            return [each async for each in check(self.networking, alive)]
        except (CNIError, OSError) as error:
            return [Unseen(name, str(error))]

    async def mend(self, alive: Alive) -> list[str]:
        """What can be mended is; tells what was done.

        Raises CNIError, OSError, InterfaceError, InterfacesExhausted, ContainerdError,
        LogRouterError.
        """
        strays = await self.strays.find(alive.known)
        await asyncio.gather(*map(self.strays.remove, strays))
        data = await self.strays.remove_data(alive.known)
        removed = await self.networking.remove_orphans(alive.sandboxes, alive.tasks)
        opened = await self.networking.open_firewall()
        return [*(f"removed {each}" for each in (*strays, *data, *removed)), *opened]


def _stray(stray: Stray) -> Finding:
    return Finding(
        "strays",
        f"{stray} is not known, and {', '.join(stray.running) or 'nothing of it'} runs",
        "run 'hostler doctor --fix', which stops and removes it",
    )


def _data(folder: Path) -> Finding:
    return warning(
        "data",
        f"{folder} is of a task that is not known",
        "move it away, or run 'hostler doctor --fix', which deletes it",
    )


async def _orphans(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    for each in await networking.find_orphans(alive.sandboxes, alive.tasks):
        yield Finding("orphans", f"{each} belongs to no task", "run 'hostler doctor --fix'")


async def _table(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    table = networking.settings.nft_table
    if not await networking.thread.run(
        lambda runtime: ruleset.is_current(table, runtime.context.firewall)
    ):
        what = f"nftables table inet {table} is missing or not of this version"
        yield Finding("firewall", what, "run 'hostler doctor --fix'")


async def _forwarding(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    table, bridges = networking.settings.nft_table, [networking.settings.bridge]
    for each in await networking.thread.run(lambda _: coexistence.blocked_by(table, bridges)):
        yield Finding(
            "forwarding",
            f"{each}; packets of containers may be dropped there",
            f"let it accept what enters or leaves {networking.settings.bridge}; "
            "'hostler doctor --fix' does that for iptables and firewalld",
        )


async def _addresses(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    try:
        await networking.thread.run(lambda runtime: runtime.status(networking.networks.bridge))
    except CNIError as error:
        yield Finding("addresses", f"no container can be attached: {error}", "see its cause")


async def _interfaces(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    provider = networking.interfaces.provider
    held = sum(map(provider.held, alive.tasks))
    if provider.limit and held >= provider.limit:
        what = f"all {provider.limit} network interfaces for tasks are held"
        yield warning("interfaces", what, "stop tasks, or give this host more of them")


async def _faults(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    table = networking.settings.faults_table
    for each in await networking.thread.run(lambda _: blackhole.started(table)):
        what = f"a task in host mode asked for the blackhole {each}, which is the whole host's"
        cure = f"let a task stop it, or run 'nft delete table inet {table}'"
        yield Finding("faults", what, cure)


def _limits(cgroups: TaskCgroups) -> Iterator[Finding]:
    if cgroups.unlimited_because:
        what = f"tasks have no limits of CPU and memory: {cgroups.unlimited_because}"
        yield Finding("limits", what, "mend it and start the agent again")


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("orphans", _orphans),
    ("firewall", _table),
    ("forwarding", _forwarding),
    ("addresses", _addresses),
    ("interfaces", _interfaces),
    ("faults", _faults),
)
