"""Which of the links with a MAC is the NIC, and what counts as a change."""

from dataclasses import replace

import pytest

from cni.kernel.linkwatch import Changes, LinkTable, SeenLink

MAC = "0a:00:00:00:00:01"
NIC = SeenLink(9, "eth1", MAC, device="0000:00:05.0")
OLD_KERNEL = SeenLink(8, "eth1", MAC)
VETH = SeenLink(7, "nic0", MAC, kind="veth", parent=30)
TAP = SeenLink(6, "tap0", MAC, kind="tun")


@pytest.mark.parametrize(
    "other",
    [
        SeenLink(2, "eth1.100", MAC, kind="vlan", parent=9),
        SeenLink(2, "mac0", MAC, kind="macvlan", parent=9),
        SeenLink(2, "tap1", MAC, kind="macvtap", parent=9),
        SeenLink(2, "ipvl0", MAC, kind="ipvlan", parent=9),
        SeenLink(2, "br0", MAC, kind="bridge"),
        SeenLink(2, "bond0", MAC, kind="bond"),
    ],
    ids=lambda link: link.kind,
)
def test_children_and_groups_are_never_the_nic(other: SeenLink) -> None:
    assert LinkTable([other]).nic_by_mac(MAC) is None
    for nic in (NIC, OLD_KERNEL, VETH, TAP):
        assert LinkTable([other, nic]).nic_by_mac(MAC) == nic


@pytest.mark.parametrize(
    ("likely", "unlikely"),
    [
        (NIC, OLD_KERNEL),
        (NIC, VETH),
        (OLD_KERNEL, VETH),
        (OLD_KERNEL, TAP),
        (NIC, replace(NIC, index=3, name="enP1s0", master=9)),  # an accelerated NIC's other half
        (VETH, replace(VETH, index=40)),
    ],
)
def test_hardware_comes_before_what_stands_in_for_it(likely: SeenLink, unlikely: SeenLink) -> None:
    assert LinkTable([unlikely, likely]).nic_by_mac(MAC) == likely
    assert LinkTable([likely, unlikely]).nic_by_mac(MAC) == likely


def test_another_mac_is_another_nic() -> None:
    assert LinkTable([NIC]).nic_by_mac("0a:00:00:00:00:02") is None


def test_links_are_found_by_name_and_index() -> None:
    table = LinkTable([NIC, TAP])
    assert table.by_name("tap0") == table.by_index(6) == TAP
    assert table.by_name("tap1") is None
    assert table.by_index(1) is None


def test_a_link_with_another_name_has_gone_and_appeared() -> None:
    renamed = replace(NIC, name="ens6")
    assert LinkTable([renamed, TAP]).since(LinkTable([NIC, TAP])) == Changes((renamed,), (NIC,))


def test_what_is_as_before_is_no_change() -> None:
    changes = LinkTable([NIC, TAP]).since(LinkTable([TAP, NIC]))
    assert changes == Changes()
    assert not changes
