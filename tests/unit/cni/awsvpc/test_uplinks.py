"""Which interface a MAC or name means, on hosts where several have it."""

import pytest

from cni.awsvpc import uplinks
from cni.errors import CNIError, Code
from cni.kernel.rtnetlink import Link

MAC = "02:00:00:00:00:01"


def link(name: str, *, mac: str = MAC, kind: str = "", device: str = "", **keys: object) -> Link:
    master, permanent = int(str(keys.get("master", 0))), str(keys.get("permanent", ""))
    index = sum(map(ord, name))
    return Link(index, name, mac, 1500, True, master, kind, "", permanent, device)


LO = link("lo", mac="00:00:00:00:00:00")


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan", "bridge", "bond"])
def test_the_nic_is_meant_not_what_has_its_mac_from_it(kind: str) -> None:
    nic = link("eth1")

    assert uplinks.find_nic([LO, link("eth1.5", kind=kind), nic], "", MAC) == nic


def test_hardware_goes_before_what_only_looks_like_it() -> None:
    nic = link("eth1", device="virtio1")

    assert uplinks.find_nic([link("tap0", kind="tun"), nic], "", MAC) == nic


def test_the_mac_it_was_made_with_counts_too() -> None:
    nic = link("eth1", mac="02:00:00:00:00:99", permanent=MAC)

    assert uplinks.find_nic([LO, nic], "", MAC) == nic


def test_name_and_mac_must_both_fit() -> None:
    one, other = link("eth1"), link("eth2")

    assert uplinks.find_nic([one, other], "eth2", MAC) == other
    assert uplinks.find_nic([one, other], "eth1", "") == one
    with pytest.raises(CNIError, match=r"no network interface with MAC 02:00.* and name eth2"):
        uplinks.find_nic([one, link("eth2", mac="02:00:00:00:00:02")], "eth2", MAC)


def test_several_that_fit_are_named() -> None:
    with pytest.raises(
        CNIError, match=r"several network interfaces have MAC .* eth1, eth2"
    ) as caught:
        uplinks.find_nic([link("eth1"), link("eth2")], "", MAC)
    assert caught.value.code == Code.INVALID_CONFIG


def test_a_port_is_not_taken_from_its_owner() -> None:
    bond = link("bond0", kind="bond")
    with pytest.raises(CNIError, match="eth1 belongs to bond0") as caught:
        uplinks.find_nic([bond, link("eth1", master=bond.index)], "", MAC)
    assert caught.value.code == Code.INVALID_CONFIG


def test_the_parent_is_rather_the_bond_than_its_ports_and_never_a_child() -> None:
    bond = link("bond0", kind="bond")
    links = [link("eth1", master=bond.index), bond, link("bond0.5", kind="vlan")]

    assert uplinks.find_parent(links, "", MAC) == bond
    assert uplinks.find_parent(links, "eth1", "") == links[0]
    assert uplinks.find_parent(links, "bond0.5", "") == links[2]


def test_what_is_missing_is_named_with_what_is_there() -> None:
    veths = [link(f"veth{number}", kind="veth") for number in range(20)]
    with pytest.raises(CNIError) as caught:
        uplinks.find_nic([LO, *veths], "", "02:00:00:00:00:77")
    assert caught.value.code == Code.TRY_AGAIN_LATER
    assert caught.value.details.count("veth") == 12
    assert caught.value.details.endswith(", ...")

    with pytest.raises(CNIError) as caught:
        uplinks.find_nic([LO, *veths, link("eth1", device="virtio1")], "", "02:00:00:00:00:77")
    assert caught.value.details == f"there are eth1 ({MAC})"
