"""The network side of the host, put together: networks, sandboxes, interfaces, and their upkeep."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.host import resources
from agent.host.interfaces.choice import open_provider
from agent.host.interfaces.desk import Interfaces
from agent.host.interfaces.watch import watching
from agent.host.leftovers import orphans
from agent.host.leftovers.orphans import Orphan
from agent.host.network import faults, securitygroups
from agent.host.network import networks as lists
from agent.host.network.guard import Guard
from agent.host.network.metadata_sockets import MetadataFront, MetadataSockets
from agent.host.network.networks import Networks
from agent.host.network.networkthread import NetworkThread, open_thread
from agent.host.network.ports import HostPorts
from agent.host.network.sandbox import Groups, Sandboxes
from agent.host.network.securitygroups import SecurityGroups
from agent.settings import Settings
from agent.task.model import TaskId
from cni.firewall import coexistence, ruleset
from cni.kernel import rtnetlink
from cni.kernel.linkwatch import LinkWatch
from cni.runtime import cache
from cni.runtime.chain import Runtime

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Networking:
    """What the host's network side consists of."""

    settings: Settings
    thread: NetworkThread
    slow: NetworkThread
    networks: Networks
    sandboxes: Sandboxes
    interfaces: Interfaces
    groups: SecurityGroups

    async def find_orphans(self, alive: Collection[str], tasks: Collection[TaskId]) -> list[Orphan]:
        """What is on the host for other sandboxes than those ``alive`` (their ids), or tasks."""
        return await self.thread.run(
            lambda runtime: orphans.find(runtime, self.networks, self.settings, alive, tasks)
        )

    async def remove_orphans(self, alive: Collection[str], tasks: Collection[TaskId]) -> list[str]:
        """None of that is left, and interfaces of other than these tasks are free; tells which."""
        told = await self.thread.run(
            lambda runtime: orphans.remove(runtime, self.networks, self.settings, alive, tasks)
        )
        released = await self.interfaces.provider.release_all_but(tasks)
        return told + [f"network interface {each}" for each in released]

    async def guard(self) -> None:
        """What others take from the firewall is put back, and said; until cancelled."""

        async def restore(_why: str) -> None:
            await self.open_firewall()

        async def reopen() -> None:
            _tell(await self.thread.run(self._open_forwarding))

        threads = (self.thread, self.slow)
        ours = [await each.run(lambda runtime: runtime.context.firewall.port) for each in threads]
        await Guard(self.settings.nft_table, restore, reopen, ours).run()

    async def open_firewall(self) -> tuple[str, ...]:
        """Table, networks and published ports are as they should be; other tables let pass.

        Tells what had to be done for the latter.
        """
        return _tell(await self.thread.run(self._open_firewall))

    async def remove(self) -> None:
        """Bridge, table, rules and faults are gone; for when no sandbox needs them."""
        await self.thread.run(lambda runtime: withdraw(runtime, self.settings))

    def _open_firewall(self, runtime: Runtime) -> tuple[str, ...]:
        ruleset.make_table(self.settings.nft_table)
        network = self.networks.bridge
        for cached in list(cache.of_network(runtime.cache_dir, network.name, network.version)):
            runtime.restore(network, cached)
        return self._open_forwarding(runtime)

    def _open_forwarding(self, _runtime: Runtime) -> tuple[str, ...]:
        return coexistence.open_forwarding(self.settings.nft_table, [self.settings.bridge])


def withdraw(runtime: Runtime, settings: Settings) -> None:
    """Bridge, table, rules and faults are gone. Raises CNIError, OSError."""
    faults.withdraw(runtime, settings.faults_table)
    coexistence.close_forwarding(settings.nft_table, [settings.bridge])
    rtnetlink.delete_link(runtime.context.links, settings.bridge)
    ruleset.remove_table(settings.nft_table)


def _tell(done: tuple[str, ...]) -> tuple[str, ...]:
    for each in done:
        log.info("%s", each)
    return done


@asynccontextmanager
async def open_networking(
    settings: Settings, front: MetadataFront, ring: Callable[[], None]
) -> AsyncIterator[Networking]:
    """Everything is open; ``ring`` is called when an interface of the host comes or goes.

    Raises CNIError, ConfigError, OSError, SecurityGroupError, InterfacesExhausted.
    """
    run_dir = settings.run_dir / "cni"
    networks = lists.load(settings, run_dir / "networks")
    groups = securitygroups.load(settings.security_groups)
    provider = await open_provider(settings)
    async with (
        open_thread(run_dir, settings.cni_plugin_path) as thread,
        open_thread(run_dir, settings.cni_plugin_path) as slow,
    ):
        with LinkWatch(("veth", settings.veth_prefix)) as watch, watching(watch, ring):
            table = settings.nft_table
            sandboxes = Sandboxes(
                networks,
                settings.names,
                thread,
                slow,
                MetadataSockets(thread, front, settings.metadata_table),
                HostPorts(run_dir, settings.port_range, resources.reserved(settings)),
                Groups(groups, of_ec2=settings.eni_provider == "ec2"),
                table,
            )
            interfaces = Interfaces(provider, watch.links)
            yield Networking(settings, thread, slow, networks, sandboxes, interfaces, groups)
