"""Network sandboxes: namespaces connected by ``cni``, their metadata served inside.

In ``bridge`` and ``none`` mode each container has one, in ``awsvpc`` mode the task has one that all
its containers share. In ``host`` mode there is no namespace, and one metadata socket serves all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.host.network.metadata_sockets import MetadataSockets
from agent.host.network.networks import Networks, dies_with_namespace, eni
from agent.host.network.networkthread import NetworkThread
from agent.host.network.ports import HostPorts, Taken
from agent.host.network.securitygroups import SecurityGroups
from agent.task import names
from agent.task.model import Progress, Task
from agent.task.names import Names
from agent.task.network import Attachment, NetworkInterface
from agent.task.ports import own_ports
from agent.task.view import Absent, Look, NetworkSeen, Seen
from cni.kernel import netns
from cni.portmap import ports
from cni.portmap.mappings import PortMapping
from cni.runtime.chain import Runtime
from cni.runtime.conflist import Network
from cni.spec import IP, Result
from metadata.source import Owner

IFNAME = "eth0"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Groups:
    """The security groups that are this host's to apply: with EC2, those of AWS (sg-…) are not."""

    known: SecurityGroups
    of_ec2: bool = False

    def rules(self, task: Task) -> Json | None:
        """What may pass, as the capability ``securityGroups``. Raises SecurityGroupError."""
        asked = [each for each in task.groups if not (self.of_ec2 and each.startswith("sg-"))]
        return self.known.rules(asked)


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """The sandboxes of all tasks. ``table`` is the nftables table of the built-in bridge.

    ``slow`` is for networks with foreign plugins.
    """

    networks: Networks
    names: Names
    thread: NetworkThread
    slow: NetworkThread
    sockets: MetadataSockets
    host_ports: HostPorts
    groups: Groups
    table: str

    def look(self, task: Task, progress: Progress, sandbox: str) -> Look[NetworkSeen]:
        """Whether the namespace is there; in host mode, whether it was attached."""
        served = self.sockets.serves(names.container_id(task.id, sandbox))
        if task.definition.network_mode == "host":
            there = served or progress.networks[sandbox].attached
        else:
            there = netns.exists(self.names.netns(task.id, sandbox))
        return Seen(NetworkSeen(served)) if there else Absent()

    async def attach(
        self, task: Task, sandbox: str, interface: NetworkInterface | None
    ) -> Attachment:
        """The sandbox is connected and its metadata is served. ``interface`` is awsvpc's.

        Raises CNIError, OSError, SecurityGroupError.
        """
        if task.definition.network_mode == "host":
            await self.serve(task, sandbox)
            return Attachment(mode="host", ports=own_ports(task.container(sandbox)))
        await self.sockets.close(names.container_id(task.id, sandbox))
        attachment = await self._attached(task, sandbox, interface)
        await self.serve(task, sandbox)
        return attachment

    async def serve(self, task: Task, sandbox: str) -> None:
        """The sandbox's metadata is served. Raises OSError if the address is taken."""
        key = names.container_id(task.id, sandbox)
        if task.definition.network_mode == "host":
            await self.sockets.serve_on_host(key)
        else:
            await self.sockets.serve(key, Owner(task.id), self.names.netns(task.id, sandbox))

    async def detach(self, task: Task, sandbox: str) -> None:
        """Nothing of the sandbox is left. Raises CNIError, OSError."""
        key = names.container_id(task.id, sandbox)
        path = self.names.netns(task.id, sandbox)
        if task.definition.network_mode == "host":
            await self.sockets.leave_host(key)
            return
        await self.sockets.close(key)
        network = self._network(task, sandbox)
        thread = self._thread(network)
        await thread.run(lambda runtime: _detach(runtime, network, key, path))

    async def _attached(
        self, task: Task, sandbox: str, interface: NetworkInterface | None
    ) -> Attachment:
        key, path = names.container_id(task.id, sandbox), self.names.netns(task.id, sandbox)
        rules = self.groups.rules(task)
        capabilities: Json = {} if rules is None else {"securityGroups": rules}
        network = self._network(task, sandbox)

        def attach(runtime: Runtime) -> Attachment:
            runtime.context.namespaces.create(path)
            if network is None:
                return Attachment(mode="none")
            if interface is not None:
                given = {**capabilities, "eni": eni(interface)}
                result = runtime.add(network, key, path, IFNAME, given)
                return _attachment("awsvpc", result, interface)

            def publish(chosen: Sequence[PortMapping]) -> Result:
                entries = {"portMappings": [each.to_json() for each in chosen]}
                return runtime.add(network, key, path, IFNAME, {**capabilities, **entries})

            container = task.container(sandbox)
            result, bound = self.host_ports.publishing(
                container, lambda: self._published(runtime), publish
            )
            return replace(_attachment("bridge", result), ports=bound)

        return await self._thread(network).run(attach)

    def _network(self, task: Task, sandbox: str) -> Network | None:
        """What the sandbox is attached to; nothing in mode none and with disableNetworking."""
        match task.definition.network_mode:
            case "awsvpc":
                return self.networks.awsvpc
            case "bridge" if not task.container(sandbox).disable_networking:
                return self.networks.bridge
            case _:
                return None

    def _thread(self, network: Network | None) -> NetworkThread:
        foreign = network is not None and any(step.plugin is None for step in network.steps)
        return self.slow if foreign else self.thread

    def _published(self, runtime: Runtime) -> Taken:
        found = ports.published(runtime.context.firewall, self.table)
        return {(each.protocol, each.host_port) for each in found}


def _detach(runtime: Runtime, network: Network | None, key: str, path: Path) -> None:
    if network is None or dies_with_namespace(network):
        # The kernel takes the interfaces down with the namespace; deleting them first would wait.
        netns.remove(path)
    if network is not None:
        runtime.delete(network, key, path if netns.exists(path) else None, IFNAME)
    netns.remove(path)


def _attachment(mode: str, result: Result, interface: NetworkInterface | None = None) -> Attachment:
    """What a result says of the container's own interface, with what only the ENI tells."""
    own = [each for each in result.interfaces if each.sandbox]
    addresses = list(_inside(result))
    v4 = next((each for each in addresses if each.address.version == 4), None)
    v6 = next((each for each in addresses if each.address.version == 6), None)
    return Attachment(
        mode=mode,
        ipv4=str(v4.address.ip) if v4 else "",
        prefix=v4.address.network.prefixlen if v4 else 0,
        gateway=str(v4.gateway) if v4 and v4.gateway else "",
        mac=own[0].mac if own else "",
        ipv6=str(v6.address.ip) if v6 else "",
        prefix6=v6.address.network.prefixlen if v6 else 0,
        gateway6=str(v6.gateway) if v6 and v6.gateway else "",
        secondary=tuple(str(each.address.ip) for each in addresses if each not in (v4, v6)),
        dns_servers=result.dns.nameservers,
        dns_search=result.dns.search,
        hostname=interface.hostname if interface else "",
        interface_id=interface.id if interface else "",
    )


def _inside(result: Result) -> Iterator[IP]:
    """The addresses inside the sandbox; one that says no interface is meant for it too."""
    for each in result.ips:
        if each.interface is None or result.interfaces[each.interface].sandbox:
            yield each
