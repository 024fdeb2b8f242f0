"""What the agent made on the host for tasks that are gone: found by names, and removed.

That is most of all on the host's network; namespaces that containers shared are pinned, too.

Nothing is remembered: whatever carries this agent's names and belongs to none of the sandboxes
alive is an orphan. Finding and removing are apart, so that ``hostler doctor`` can do the one only.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.host.namespaces import orphans as shared
from agent.host.network.networks import Networks
from agent.settings import Settings
from agent.task.model import TaskId
from cni.awsvpc import nics
from cni.ipam.leases import LeaseStore
from cni.kernel import netns, rtnetlink
from cni.portmap import ports
from cni.runtime import cache
from cni.runtime.chain import Runtime
from cni.runtime.conflist import Network
from cni.spec import Attachment, host_ifname

IFNAME = "eth0"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A thing on the host; ``kind`` is a word of networking, ``name`` its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def find(
    runtime: Runtime,
    networks: Networks,
    settings: Settings,
    alive: Collection[str],
    tasks: Collection[TaskId],
) -> list[Orphan]:
    """Everything that belongs to none of the sandboxes ``alive`` (their ids), nor to ``tasks``.

    Changes nothing.
    """
    valid = {Attachment(each, IFNAME) for each in alive}
    return [
        *(Orphan("namespace", str(each)) for each in _namespaces(settings, alive)),
        *(Orphan("interface", each) for each in _host_ends(settings, valid)),
        *(Orphan("published port", each) for each in _ports(runtime, networks, settings, valid)),
        *(Orphan("attachment", each) for each in _attachments(runtime, networks, valid)),
        *(Orphan("lease", each) for each in _leases(runtime, networks, valid)),
        *(Orphan("lent NIC", each) for each in _nics(runtime, networks, valid)),
        *(Orphan("shared", str(each)) for each in shared.find_orphans(settings.names, tasks)),
    ]


def remove(
    runtime: Runtime,
    networks: Networks,
    settings: Settings,
    alive: Collection[str],
    tasks: Collection[TaskId],
) -> list[str]:
    """None of it is left; tells what was there. NICs are given back before namespaces go.

    Raises CNIError, OSError.
    """
    told = [str(each) for each in find(runtime, networks, settings, alive, tasks)]
    valid = [Attachment(each, IFNAME) for each in alive]
    for network in (networks.awsvpc, networks.bridge):
        runtime.gc(network, valid)
    told += nics.restore_all(runtime.context, valid, networks.awsvpc.name)
    for path in _namespaces(settings, alive):
        netns.remove(path)
    for name in _host_ends(settings, set(valid)):
        rtnetlink.delete_link(runtime.context.links, name)
    shared.remove_orphans(settings.names, tasks)
    return told


def _namespaces(settings: Settings, alive: Collection[str]) -> list[Path]:
    wanted = {settings.names.netns_of(each) for each in alive}
    return sorted(set(settings.names.netns_dir.glob("*")) - wanted)


def _host_ends(settings: Settings, valid: Collection[Attachment]) -> list[str]:
    """Host ends of veth pairs, by their prefix."""
    wanted = {host_ifname(settings.veth_prefix, each) for each in valid}
    there = {name for _, name in socket.if_nameindex()}
    shape = len(host_ifname(settings.veth_prefix, Attachment("", "")))
    return sorted(
        name
        for name in there - wanted
        if name.startswith(settings.veth_prefix) and len(name) == shape
    )


def _ports(
    runtime: Runtime, networks: Networks, settings: Settings, valid: Collection[Attachment]
) -> Iterator[str]:
    mark = ports.network_mark(networks.bridge.name)
    wanted = {ports.owner_name(networks.bridge.name, each) for each in valid}
    found = ports.published(runtime.context.firewall, settings.nft_table)
    for each in sorted(found, key=lambda port: (port.host_port, port.protocol.value)):
        if each.owner.startswith(mark) and each.owner not in wanted:
            yield f"{each.host_port}/{each.protocol.value}"


def _attachments(
    runtime: Runtime, networks: Networks, valid: Collection[Attachment]
) -> Iterator[str]:
    for network in (networks.bridge, networks.awsvpc):
        for cached in cache.of_network(runtime.cache_dir, network.name, network.version):
            if cached.attachment not in valid:
                yield f"of {cached.attachment.container_id[:12]} to {network.name}"


def _leases(runtime: Runtime, networks: Networks, valid: Collection[Attachment]) -> Iterator[str]:
    for network in (networks.bridge, networks.awsvpc):
        for address, holder in LeaseStore(_data_dir(network) / network.name).claims():
            if holder not in valid:
                yield f"{address} of {network.name}"


def _nics(runtime: Runtime, networks: Networks, valid: Collection[Attachment]) -> list[str]:
    """Other runtimes keep their records in the same place: theirs are not ours to give back."""
    return nics.lent_to_others(runtime.context, valid, networks.awsvpc.name)


def _data_dir(network: Network) -> Path:
    """Where the network's IPAM keeps its leases, if that is ours."""
    found = (step.conf.get("ipam") or {} for step in network.steps)
    return next((Path(each["dataDir"]) for each in found if each.get("dataDir")), Path("/nowhere"))
