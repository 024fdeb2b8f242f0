"""The agent's two networks as CNI lists: the bridge, and what gives a task its own interface.

Built in from the settings; an operator's list named ``bridge`` or ``awsvpc`` in the configuration
directory takes the place of the built-in one. Pure but for reading that directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.host.interfaces import macvlan
from agent.settings import Settings
from agent.task.network import NetworkInterface
from cni.runtime import confdir
from cni.runtime.conflist import Network, network_from

BRIDGE, AWSVPC = "bridge", "awsvpc"
_VERSION = "1.1.0"
_ON_BRIDGE = frozenset({"hostler-bridge", "hostler-portmap", "hostler-firewall"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Networks:
    """What containers in ``bridge`` mode and tasks in ``awsvpc`` mode are attached to."""

    bridge: Network
    awsvpc: Network


def load(settings: Settings, data_dir: Path) -> Networks:
    """The networks; ``data_dir`` is where built-in ones keep their leases. Raises CNIError."""
    directory = settings.cni_conf_dir
    return Networks(
        bridge=confdir.find(directory, BRIDGE) or network_from(bridge_list(settings, data_dir)),
        awsvpc=confdir.find(directory, AWSVPC) or network_from(awsvpc_list(settings, data_dir)),
    )


def bridge_list(settings: Settings, data_dir: Path) -> Json:
    """The built-in bridge: addresses, published ports, security groups."""
    subnets = [settings.bridge_subnet, settings.bridge_subnet6]
    bridge = {
        "type": "hostler-bridge",
        "bridge": settings.bridge,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "blockInstanceMetadata": settings.bridge_block_imds,
        "table": settings.nft_table,
        "vethPrefix": settings.veth_prefix,
        "ipam": {
            "type": "hostler-ipam",
            "ranges": [[{"subnet": str(each)}] for each in subnets if each is not None],
            "dataDir": str(data_dir),
        },
    }
    portmap = {
        "type": "hostler-portmap",
        "capabilities": {"portMappings": True},
        "table": settings.nft_table,
    }
    return _list(settings.bridge, bridge, portmap, _firewall(settings))


def awsvpc_list(settings: Settings, data_dir: Path) -> Json:
    """The built-in way to a task's own interface; which one it is comes with each task."""
    interface: Json = {
        "type": "hostler-awsvpc",
        "capabilities": {"eni": True},
        "blockInstanceMetadata": settings.awsvpc_block_imds,
    }
    if settings.eni_provider == "macvlan":
        interface["ipam"] = macvlan.ipam(settings, data_dir)
    return _list(AWSVPC, interface, _firewall(settings))


def eni(interface: NetworkInterface) -> Json:
    """A task's interface as the capability ``eni`` of ``hostler-awsvpc``."""
    kinds: Mapping[str, Json] = {
        "nic": {"eniMACAddress": interface.mac, "eniName": interface.name},
        "vlan": {
            **_trunk(interface.parent),
            "branchVlanID": interface.vlan,
            "branchMACAddress": interface.mac,
        },
        "macvlan": {"master": interface.parent, "branchMACAddress": interface.mac},
    }
    dns = {"nameservers": list(interface.dns_servers), "search": list(interface.dns_search)}
    described = {
        "interfaceType": interface.kind,
        **kinds[interface.kind],
        "eniIPAddresses": list(interface.addresses),
        "gatewayIPAddresses": list(interface.gateways),
        "mtu": interface.mtu,
        # Nothing of the interface's own must not take the place of what the network says.
        "dns": dns if any(dns.values()) else {},
    }
    return {key: value for key, value in described.items() if value}


def dies_with_namespace(network: Network) -> bool:
    """Whether nothing but the container's end of a veth pair is in its namespace.

    So the namespace may go before DEL, which then has no link to wait for.
    """
    return all(step.type in _ON_BRIDGE for step in network.steps)


def _trunk(parent: str) -> Json:
    return {"trunkMACAddress": parent} if ":" in parent else {"trunkName": parent}


def _firewall(settings: Settings) -> Json:
    return {
        "type": "hostler-firewall",
        "capabilities": {"securityGroups": True},
        "table": settings.nft_table,
    }


def _list(name: str, *plugins: Json) -> Json:
    return {"cniVersion": _VERSION, "name": name, "plugins": list(plugins)}
