"""Network sandboxes: a namespace per container, connected by ``cni``, its metadata served inside.

The CNI functions block for a few milliseconds, so they run in one thread of their own. In ``host``
mode there is no namespace and one metadata socket serves all tasks of the host's network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol, TypeVar

from agent.task import names
from agent.task.model import Attachment, PortBinding, Progress, Task
from agent.task.names import Names
from agent.task.view import Absent, Look, NetworkSeen, Seen
from cni import bridge, ipam, netns, portmap, portshare, rtnetlink, ruleset
from cni.bridge import BridgeConfig
from cni.context import Context, open_context
from cni.hostports import PortRange
from cni.ipam import IPAMConfig
from cni.loopback import METADATA_ADDRESS
from cni.nft import Protocol as PortProtocol
from cni.portmap import PortmapConfig, PortMapping
from cni.spec import Args, Result
from metadata.source import Owner

METADATA_PORT = 80
BEHIND_PORT = 51679
"""Where the metadata sockets really listen: the one port a container can't have to itself, and what
the ECS agent uses on the host."""
HOST_OWNER = Owner("host")
"""Owner of the socket that all tasks in host mode share."""

DEADLINE_S = 60.0
"""As long as the ECS agent waits for its network plugins."""

T = TypeVar("T")


class MetadataDoor(Protocol):
    """Where metadata sockets are served (``metadata.listener.Listeners``)."""

    async def serve(self, sock: socket.socket, owner: Owner, key: str) -> None:
        """Serves the listening socket until closed; takes it over."""

    async def close(self, key: str) -> None:
        """Serves no more, and closes the socket."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The bridge network of this agent."""

    bridge: str
    subnet: IPv4Network
    table: str
    port_range: tuple[int, int] | None


class Sandboxes:
    """The sandboxes of all containers. ``open`` before use, ``close`` at the end."""

    def __init__(self, settings: NetworkSettings, of: Names, door: MetadataDoor) -> None:
        self._settings = settings
        self._names = of
        self._door = door
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._context: Context | None = None
        self._served: set[str] = set()
        self._on_host: set[str] = set()
        self._host_lock = asyncio.Lock()
        self._metadata_table = f"{settings.table}-metadata"
        self._config = BridgeConfig(
            bridge=settings.bridge, ipam=IPAMConfig(network=settings.bridge, subnet=settings.subnet)
        )

    async def open(self, alive: Collection[str]) -> None:
        """The firewall table is there; addresses and ports of containers not ``alive`` are free."""
        network = ruleset.Network(self._settings.bridge, self._settings.subnet)
        await self._run(lambda: ruleset.ensure_table(self._settings.table, [network]))
        self._context = await self._run(
            lambda: open_context(self._names.run_dir / "network", self._settings.table)
        )
        await self._run(lambda: self._free_all_but(self._open_context(), alive))

    async def close(self) -> None:
        """Closes sockets and threads; nothing that is attached is touched."""
        if self._context is not None:
            await self._run(self._context.close)
        self._thread.shutdown()

    async def remove_network(self) -> None:
        """Bridge and firewall table are gone; for when no container needs them."""
        await self._run(lambda: self._remove_network(self._open_context()))

    def look(self, task: Task, progress: Progress, name: str) -> Look[NetworkSeen]:
        """Whether the container's namespace is there; in host mode, whether it was attached."""
        key = names.container_id(task.id, name)
        served = key in self._served
        if task.definition.network_mode == "host":
            facts = progress.containers[name]
            there = served or (facts.network is not None and not facts.detached)
        else:
            there = netns.exists(self._names.netns(task.id, name))
        return Seen(NetworkSeen(served)) if there else Absent()

    async def attach(self, task: Task, name: str) -> Attachment:
        """The container is connected and its metadata is served. Raises CNIError, OSError."""
        if task.definition.network_mode == "host":
            await self.serve(task, name)
            return Attachment(mode="host", ports=_host_ports(task, name))
        await self._stop_serving(names.container_id(task.id, name))
        attachment = await self._run(lambda: self._attach(self._open_context(), task, name))
        await self.serve(task, name)
        return attachment

    async def serve(self, task: Task, name: str) -> None:
        """The container's metadata is served. Raises OSError if the address is taken."""
        key = names.container_id(task.id, name)
        if key in self._served:
            return
        if task.definition.network_mode == "host":
            await self._serve_host(key)
        else:
            listening = await self._run(lambda: self._listen(self._names.netns(task.id, name)))
            await self._door.serve(listening, Owner(task.id), key)
        self._served.add(key)

    async def detach(self, task: Task, name: str) -> None:
        """Nothing of the container's network is left. Raises CNIError, OSError."""
        key = names.container_id(task.id, name)
        if task.definition.network_mode == "host":
            self._served.discard(key)
            await self._leave_host(key)
            return
        await self._stop_serving(key)
        await self._run(lambda: self._detach(self._open_context(), task, name))

    async def _serve_host(self, key: str) -> None:
        async with self._host_lock:
            if not self._on_host:
                listening = await self._run(lambda: self._listen(None))
                await self._door.serve(listening, HOST_OWNER, HOST_OWNER)
            self._on_host.add(key)

    async def _leave_host(self, key: str) -> None:
        """Without tasks on the host's network, its loopback has no metadata address."""
        async with self._host_lock:
            if self._on_host == {key}:
                await self._door.close(HOST_OWNER)
                await self._run(lambda: portshare.withdraw(METADATA_ADDRESS, self._metadata_table))
            self._on_host.discard(key)

    async def _stop_serving(self, key: str) -> None:
        if key in self._served:
            await self._door.close(key)
            self._served.discard(key)

    def _free_all_but(self, context: Context, alive: Collection[str]) -> None:
        ipam.gc(self._config.ipam, [(each, "eth0") for each in alive], context)
        portmap.gc(alive, context)

    def _remove_network(self, context: Context) -> None:
        rtnetlink.delete_link(context.links, self._settings.bridge)
        ruleset.remove_table(self._settings.table)

    def _attach(self, context: Context, task: Task, name: str) -> Attachment:
        path = self._names.netns(task.id, name)
        context.namespaces.create(path)
        mode = task.definition.network_mode
        if mode == "none":
            return Attachment(mode=mode)
        args = self._args(task, name)
        result = bridge.add(self._config, args, context)
        address = result.ips[0].address.ip
        ports = self._ports(task, name, IPv4Address(str(address)))
        return _attachment(mode, result, portmap.add(ports, args, context))

    def _detach(self, context: Context, task: Task, name: str) -> None:
        args = self._args(task, name)
        portmap.delete(PortmapConfig(METADATA_ADDRESS), args, context)
        # The kernel takes the interfaces down with the namespace; deleting them first would wait.
        netns.remove(self._names.netns(task.id, name))
        bridge.delete(self._config, args, context)

    def _listen(self, path: Path | None) -> socket.socket:
        return self._open_context().namespaces.call(
            path,
            lambda: portshare.listen(
                METADATA_ADDRESS, METADATA_PORT, BEHIND_PORT, self._metadata_table
            ),
        )

    def _args(self, task: Task, name: str) -> Args:
        return Args(
            container_id=names.container_id(task.id, name),
            netns=self._names.netns(task.id, name),
            host_ifname=self._names.veth(task.id, name),
        )

    def _ports(self, task: Task, name: str, address: IPv4Address) -> PortmapConfig:
        bounds = self._settings.port_range
        return PortmapConfig(
            address=address,
            mappings=tuple(
                PortMapping(
                    container_port=each.container_port,
                    host_port=each.host_port or 0,
                    protocol=PortProtocol(each.protocol),
                )
                for each in task.container(name).port_mappings
                if each.container_port is not None
            ),
            dynamic_range=PortRange(*bounds) if bounds else None,
        )

    def _open_context(self) -> Context:
        if self._context is None:
            raise RuntimeError("the sandboxes are not open")
        return self._context

    async def _run(self, work: Callable[[], T]) -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _attachment(mode: str, result: Result, bound: tuple[portmap.Binding, ...]) -> Attachment:
    ip, inside = result.ips[0], result.interfaces[2]
    return Attachment(
        mode=mode,
        ipv4=str(ip.address.ip),
        prefix=ip.address.network.prefixlen,
        gateway=str(ip.gateway),
        mac=inside.mac,
        ports=tuple(
            PortBinding(each.protocol.value, each.container_port, each.host_port, str(each.host_ip))
            for each in bound
        ),
    )


def _host_ports(task: Task, name: str) -> tuple[PortBinding, ...]:
    return tuple(
        PortBinding(each.protocol, each.container_port, each.container_port)
        for each in task.container(name).port_mappings
        if each.container_port is not None
    )
