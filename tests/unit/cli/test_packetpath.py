"""The drawing of each network mode, as it is seen."""

from __future__ import annotations

import pytest

from agent.cli import packetpath
from agent.task.network import Attachment, NetworkInterface
from tests.fakes.api import Body
from tests.unit.cli.attachments import (
    BRIDGE,
    BY_ENI,
    MACVLAN,
    NIC,
    ON_BRIDGE,
    VLAN,
    attachment,
)

TITLE = "task 0123456789abcdef0123456789abcdef (hello:3), network mode"
METADATA = "  169.254.170.2 is answered by the agent, from a socket in this network"


def drawn(made: Body, network: Body | None = None) -> str:
    lines = list(packetpath.drawing(made, network or {}))
    assert all(line == line.rstrip() for line in lines)
    return "\n".join(lines)


def test_on_the_bridge_published_ports_come_through_maps() -> None:
    assert (
        drawn(attachment(ON_BRIDGE), BRIDGE)
        == f"""\
{TITLE} bridge

  host ports 8080->80/tcp 40000-40009->5000-5009/udp   maps of nftables table inet hostler
    │
  hostler0  10.213.0.1                                 masquerades what leaves 10.213.0.0/16
    │
  hv0123456789abc                                      host end of the veth pair
    │
  eth0 10.213.0.2/16                                   MAC 02:00:00:00:00:02
    │
  [web]  80/tcp 5000-5009/udp

  network namespace /run/x/netns/0123
{METADATA}"""
    )


def test_without_published_ports_the_bridge_is_the_first_stage() -> None:
    plain = Attachment("bridge", "10.213.0.2", 16, "10.213.0.1", "02:00:00:00:00:02")
    assert (
        drawn(attachment(plain, ports=[]), BRIDGE)
        == f"""\
{TITLE} bridge

  hostler0  10.213.0.1   masquerades what leaves 10.213.0.0/16
    │
  hv0123456789abc        host end of the veth pair
    │
  eth0 10.213.0.2/16     MAC 02:00:00:00:00:02
    │
  [web]

  network namespace /run/x/netns/0123
{METADATA}"""
    )


def test_a_nic_stands_between_its_gateway_and_all_containers() -> None:
    made = attachment(BY_ENI, NIC, securityGroups=["web", "db"])
    assert (
        drawn(made)
        == f"""\
{TITLE} awsvpc

  gateway 10.0.1.1 fe80::1        subnet-1
    │
  eni-1  moved in                 a NIC of this host
    │
  eth0 10.0.1.7/24 fd00:1::7/64   MAC 02:00:00:00:00:07
    │
  security groups web, db         nftables, inside the namespace
    │
  [web]  80/tcp 5000-5009/udp
  [db]

  network namespace /run/x/netns/0123
{METADATA}"""
    )


@pytest.mark.parametrize(
    ("interface", "stage"),
    [
        (VLAN, "  eni-1  eth1 vlan 42             below a NIC of this host"),
        (MACVLAN, "  eni-1  eth1 macvlan             below a NIC of this host"),
    ],
    ids=["vlan", "macvlan"],
)
def test_a_child_stands_below_the_nic_it_is_made_on(
    interface: NetworkInterface, stage: str
) -> None:
    lines = drawn(attachment(BY_ENI, interface)).splitlines()
    assert lines[4] == stage


def test_an_interface_without_a_gateway_leads_to_its_own_network_only() -> None:
    alone = Attachment("awsvpc", "10.0.1.7", 24, mac=NIC.mac)
    assert drawn(attachment(alone, NIC)).splitlines()[2] == (
        "  eni-1  moved in    a NIC of this host"
    )


def test_in_mode_host_nothing_is_in_between() -> None:
    assert (
        drawn(attachment(Attachment("host")))
        == f"""\
{TITLE} host

  the host's own network   no namespace, no rules of ours
    │
  [web]  80/tcp 5000-5009/udp
  [db]

{METADATA}"""
    )


def test_in_mode_none_there_is_only_the_metadata_address() -> None:
    assert (
        drawn(attachment(Attachment("none"), ports=[]))
        == f"""\
{TITLE} none

  no network   only loopback, and the metadata address on it
    │
  [web]
  [db]

  network namespace /run/x/netns/0123
{METADATA}"""
    )


@pytest.mark.parametrize(
    ("made", "side"),
    [
        (attachment(ON_BRIDGE), "hv0123456789abc"),
        (attachment(BY_ENI, NIC), "moved in"),
        (attachment(BY_ENI, VLAN), "eth1 vlan 42"),
        (attachment(BY_ENI, MACVLAN), "eth1 macvlan"),
        (attachment(Attachment("host")), ""),
        (attachment(Attachment("none")), ""),
    ],
)
def test_what_on_the_host_leads_to_a_sandbox_is_said_in_few_words(made: Body, side: str) -> None:
    assert packetpath.host_side(made) == side
