"""The agent's two networks: the built-in lists, an operator's in their place, a task's ENI."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from agent.config import load
from agent.host.network import networks
from agent.settings import Settings
from agent.task.network import NetworkInterface
from cni.awsvpc.eni import ENI, Kind
from cni.awsvpc.eni import parse as parse_eni
from cni.conf import Fields
from cni.errors import CNIError
from cni.runtime.conflist import network_from
from cni.spec import DNS
from tests.worlds import ENI as NIC

DATA = Path("/run/x/networks")


def settings(**given: str) -> Settings:
    return load({f"HOSTLER_{name}": value for name, value in given.items()}, {}, ())


def types(network: Any) -> list[str]:
    return [step.type for step in network.steps]


def test_the_built_in_bridge_is_a_network_of_our_plugins() -> None:
    given = settings(BRIDGE="br9", NFT_TABLE="tab", VETH_PREFIX="xv", BRIDGE_SUBNET="10.9.0.0/24")
    network = network_from(networks.bridge_list(given, DATA))
    assert (network.name, network.version) == ("br9", "1.1.0")
    assert types(network) == ["hostler-bridge", "hostler-portmap", "hostler-firewall"]
    bridge, portmap, firewall = (step.parsed for step in network.steps)
    assert (bridge.bridge, bridge.table, bridge.veth_prefix) == ("br9", "tab", "xv")
    assert (portmap.network, portmap.table, firewall.table) == ("br9", "tab", "tab")
    assert [sorted(step.capabilities) for step in network.steps] == [
        [],
        ["portMappings"],
        ["securityGroups"],
    ]


def test_the_built_in_bridge_leases_from_the_subnets_that_are_set() -> None:
    both = settings(BRIDGE_SUBNET="10.9.0.0/24", BRIDGE_SUBNET6="fd00:9::/64")
    for given, subnets in ((both, ["10.9.0.0/24", "fd00:9::/64"]), (settings(), ["10.213.0.0/16"])):
        made = networks.bridge_list(given, DATA)
        assert made["plugins"][0]["ipam"] == {
            "type": "hostler-ipam",
            "ranges": [[{"subnet": each}] for each in subnets],
            "dataDir": str(DATA),
        }
        assert network_from(made).name == "hostler0"


@pytest.mark.parametrize("blocks", [True, False])
def test_whether_instance_metadata_is_blocked_is_a_setting_of_each(blocks: bool) -> None:
    given = replace(Settings(), bridge_block_imds=blocks, awsvpc_block_imds=not blocks)
    assert networks.bridge_list(given, DATA)["plugins"][0]["blockInstanceMetadata"] is blocks
    assert networks.awsvpc_list(given, DATA)["plugins"][0]["blockInstanceMetadata"] is not blocks


def test_the_built_in_awsvpc_network_takes_each_tasks_own_interface() -> None:
    network = network_from(networks.awsvpc_list(settings(), DATA))
    assert (network.name, types(network)) == ("awsvpc", ["hostler-awsvpc", "hostler-firewall"])
    assert network.steps[0].capabilities == {"eni"}
    assert network.steps[0].parsed.addressing is None


def test_with_macvlan_children_it_leases_their_addresses() -> None:
    given = settings(ENI_PARENT="eth1", ENI_SUBNET="10.0.5.0/24")
    network = network_from(networks.awsvpc_list(given, DATA))
    assert network.steps[0].parsed.addressing is not None
    assert network.steps[0].conf["ipam"]["dataDir"] == str(DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cni"


def write(folder: Path, name: str, *plugins: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    conflist = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
    (folder / f"{name}.conflist").write_text(json.dumps(conflist))


def test_without_a_directory_both_are_built_in(folder: Path) -> None:
    found = networks.load(replace(Settings(), cni_conf_dir=folder), DATA)
    assert (found.bridge.name, found.awsvpc.name) == ("hostler0", "awsvpc")


def test_an_operators_list_takes_the_place_of_the_one_and_not_the_other(folder: Path) -> None:
    given = replace(Settings(), cni_conf_dir=folder)
    write(folder, "bridge", {"type": "ptp"}, {"type": "portmap"})
    write(folder, "something", {"type": "ipvlan"})
    found = networks.load(given, DATA)
    assert (found.bridge.name, found.bridge.version) == ("bridge", "1.0.0")
    assert types(found.bridge) == ["ptp", "portmap"]
    assert types(found.awsvpc) == ["hostler-awsvpc", "hostler-firewall"]

    write(folder, "awsvpc", {"type": "macvlan"})
    assert types(networks.load(given, DATA).awsvpc) == ["macvlan"]


def test_a_broken_list_is_an_error_that_names_its_file(folder: Path) -> None:
    write(folder, "bridge", {"type": "hostler-bridge", "mtu": "large"})
    with pytest.raises(CNIError, match=r"bridge\.conflist.*mtu"):
        networks.load(replace(Settings(), cni_conf_dir=folder), DATA)


def read(interface: NetworkInterface) -> ENI:
    """The interface as the plugin reads it, and that it knows which is meant."""
    found = parse_eni(Fields(networks.eni(interface)))
    found.require_complete()
    return found


def test_a_nic_is_read_by_the_plugin() -> None:
    given = replace(
        NIC,
        name="eth7",
        mtu=9001,
        addresses=("10.0.1.7/24", "fd00:1::7/64"),
        gateways=("10.0.1.1", "fe80::1"),
        dns_servers=("10.0.0.2",),
        dns_search=("lab.example",),
    )
    assert read(given) == ENI(
        kind=Kind.NIC,
        name="eth7",
        mac=NIC.mac,
        child_mac=NIC.mac,
        addresses=tuple(map(ip_interface, given.addresses)),
        gateways=tuple(map(ip_address, given.gateways)),
        mtu=9001,
        dns=DNS(("10.0.0.2",), "", ("lab.example",)),
    )


@pytest.mark.parametrize(
    ("trunk", "parent", "parent_mac"),
    [("eth1", "eth1", ""), ("02:00:00:00:00:09", "", "02:00:00:00:00:09")],
)
def test_a_vlan_is_read_by_the_plugin_by_name_or_mac_of_its_trunk(
    trunk: str, parent: str, parent_mac: str
) -> None:
    found = read(replace(NIC, kind="vlan", parent=trunk, vlan=42))
    assert (found.kind, found.vlan, found.child_mac) == (Kind.VLAN, 42, NIC.mac)
    assert (found.parent, found.parent_mac, found.mac) == (parent, parent_mac, "")


def test_a_macvlan_child_is_read_by_the_plugin_also_without_addresses() -> None:
    found = read(NetworkInterface("eni-2", "macvlan", mac=NIC.mac, parent="eth1"))
    assert (found.kind, found.parent, found.child_mac) == (Kind.MACVLAN, "eth1", NIC.mac)
    assert (found.addresses, found.gateways, found.mtu, found.dns) == ((), (), 0, DNS())


def test_what_an_interface_does_not_say_is_left_to_the_network() -> None:
    assert networks.eni(NetworkInterface("eni-2", "nic", name="eth7")) == {
        "interfaceType": "nic",
        "eniName": "eth7",
    }


@pytest.mark.parametrize(
    ("plugins", "dies"),
    [
        (["hostler-bridge", "hostler-portmap", "hostler-firewall"], True),
        (["hostler-bridge"], True),
        (["hostler-awsvpc", "hostler-firewall"], False),
        (["hostler-bridge", "tuning"], False),
        (["bridge", "portmap"], False),
    ],
)
def test_only_veth_pairs_of_ours_die_with_their_namespace(plugins: list[str], dies: bool) -> None:
    ipam = {"type": "hostler-ipam", "ranges": [[{"subnet": "10.9.0.0/24"}]]}
    listed = [{"type": each, "ipam": ipam} for each in plugins]
    network = network_from({"cniVersion": "1.1.0", "name": "x", "plugins": listed})
    assert networks.dies_with_namespace(network) is dies
