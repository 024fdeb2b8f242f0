"""What may be wrong with this host, for ``hostler doctor``: each check only finds.

Mending is apart: the agent takes away what its own tasks have left and puts its part of
the firewall in order; everything else is for the operator, who is told how.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from agent.host.cgroups.tasks import TaskCgroups
from agent.host.containers.runtimes import Runtimes
from agent.host.leftovers.strays import Stray, Strays
from agent.host.network.networking import Networking
from agent.task.model import TaskId
from cni.errors import CNIError
from cni.faults import blackhole
from cni.firewall import coexistence, ruleset
from metadata.credentials import roles


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: ``what`` it is and the ``cure``, in sentences."""

    check: str
    what: str
    cure: str


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

    networking: Networking
    runtimes: Runtimes
    cgroups: TaskCgroups
    strays: Strays

    async def find(self, alive: Alive) -> list[Finding]:
        """Everything that any check finds, in their order; changes nothing.

        Raises CNIError, OSError, ContainerdError.
        """
        strays = await self.strays.find(alive.known)
        found = [
            Finding(
                "strays",
                f"{each} is not known, and {', '.join(each.running) or 'nothing of it'} runs",
                "run 'hostler doctor --fix', which stops and removes it",
            )
            for each in strays
        ]
        accounted = alive.with_strays(strays)
        theirs = [*alive.known, *(each.task_id for each in strays)]
        found += [
            Finding(
                "data",
                f"{each} is of a task that is not known",
                "move it away, or run 'hostler doctor --fix', which deletes it",
            )
            for each in await self.strays.data(theirs)
        ]
        for check in CHECKS:
            found += [each async for each in check(self.networking, accounted)]
        return [*found, *_runtimes(self.runtimes), *_limits(self.cgroups)]

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
        yield Finding("interfaces", what, "stop tasks, or give this host more of them")


async def _faults(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    table = networking.settings.faults_table
    for each in await networking.thread.run(lambda _: blackhole.started(table)):
        what = f"a task in host mode asked for the blackhole {each}, which is the whole host's"
        cure = f"let a task stop it, or run 'nft delete table inet {table}'"
        yield Finding("faults", what, cure)


async def _roles(networking: Networking, alive: Alive) -> AsyncIterator[Finding]:
    path = networking.settings.task_roles
    for each in await asyncio.to_thread(lambda: list(roles.problems(path))):
        yield Finding("roles", each, "mend it: tasks of such roles don't start")


def _runtimes(runtimes: Runtimes) -> Iterator[Finding]:
    for runtime in runtimes.named.values():
        for missing in runtime.missing():
            what = f"runtime {runtime.name} needs {missing}, which this host does not have"
            yield Finding("runtimes", what, "install it, or correct HOSTLER_RUNTIMES")


def _limits(cgroups: TaskCgroups) -> Iterator[Finding]:
    if cgroups.unlimited_because:
        what = f"tasks have no limits of CPU and memory: {cgroups.unlimited_because}"
        yield Finding("limits", what, "mend it and start the agent again")


CHECKS: Final[tuple[Check, ...]] = (
    *(_orphans, _table, _forwarding, _addresses),
    *(_interfaces, _faults, _roles),
)
