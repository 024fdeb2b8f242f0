"""The description of an interface: AWS's keys, read and checked."""

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from cni.awsvpc import eni
from cni.awsvpc.eni import ENI, Kind
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.spec import DNS


def parsed(**keys: Any) -> ENI:
    return eni.parse(Fields(keys))


def test_nothing_said_is_a_nic_with_instance_metadata_blocked() -> None:
    assert parsed() == ENI(kind=Kind.NIC, block_metadata=True)


def test_all_that_is_said_of_a_nic_is_read() -> None:
    assert parsed(
        eniName="eth1",
        eniMACAddress="0A-1B-2C-3D-4E-5F",
        eniIPAddresses=["10.0.1.7/24", "2001:db8::7/64"],
        gatewayIPAddresses=["10.0.1.1/24", "fe80::1"],
        blockInstanceMetadata=False,
        mtu=9001,
        dns={"nameservers": ["10.0.0.2"], "search": ["test"]},
    ) == ENI(
        name="eth1",
        mac="0a:1b:2c:3d:4e:5f",
        addresses=(ip_interface("10.0.1.7/24"), ip_interface("2001:db8::7/64")),
        gateways=(ip_address("10.0.1.1"), ip_address("fe80::1")),
        block_metadata=False,
        child_mac="0a:1b:2c:3d:4e:5f",
        mtu=9001,
        dns=DNS(("10.0.0.2",), search=("test",)),
    )


@pytest.mark.parametrize("tag", [100, "100"])
def test_a_vlan_is_read_with_its_trunk(tag: object) -> None:
    branch = parsed(
        interfaceType="vlan",
        trunkName="eth1",
        trunkMACAddress="02:00:00:00:00:01",
        branchVlanID=tag,
        branchMACAddress="02:00:00:00:00:02",
        master="other",
    )

    assert (branch.kind, branch.vlan, branch.parent) == (Kind.VLAN, 100, "eth1")
    assert (branch.parent_mac, branch.child_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    branch.require_complete()


def test_a_macvlan_child_is_read_with_its_master() -> None:
    child = parsed(interfaceType="macvlan", master="eth0", mode="vepa", trunkName="other")

    assert (child.kind, child.parent, child.mode) == (Kind.MACVLAN, "eth0", "vepa")
    child.require_complete()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("interfaceType", "tap"),
        ("eniMACAddress", "02:00:00:00:00"),
        ("eniMACAddress", 2),
        ("eniName", "a name"),
        ("eniIPAddresses", "10.0.0.1/24"),
        ("eniIPAddresses", ["10.0.0.1/33"]),
        ("gatewayIPAddresses", ["10.0.0.1", "10.0.0.2"]),
        ("gatewayIPAddresses", ["x"]),
        ("branchVlanID", 0),
        ("branchVlanID", 4095),
        ("branchVlanID", "²"),
        ("branchVlanID", True),
        ("branchVlanID", "x"),
        ("mode", "source"),
        ("mtu", 70000),
        ("blockInstanceMetadata", "perhaps"),
        ("dns", []),
    ],
)
def test_what_is_wrong_is_named(key: str, value: object) -> None:
    with pytest.raises(CNIError) as caught:
        parsed(**{key: value})
    assert caught.value.code == Code.INVALID_CONFIG
