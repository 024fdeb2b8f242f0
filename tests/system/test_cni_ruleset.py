"""Our nftables table and its networks: made, made again, and changed."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest

from cni.errors import CNIError, Code
from cni.firewall import networks, ruleset
from cni.firewall.networks import Network
from cni.portmap import ports
from cni.portmap.mappings import PortMapping, Protocol
from tests.system import portlab
from tests.system.portlab import BRIDGE, CONF, HOST, NETWORK, OUTSIDE, SUBNETS, TABLE, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


def test_the_table_made_again_keeps_ports_and_networks(lab: Lab) -> None:
    lab.publish(lab.container("a"), PortMapping(80, 8080))
    before = lab.listed()

    lab.run(lab.host, f"nft flush chain inet {TABLE} publish")
    lab.on_host(ruleset.make_table, TABLE)

    assert lab.listed() == before


def test_a_table_of_this_version_is_left_alone_and_another_is_made_anew(lab: Lab) -> None:
    firewall = lab.context.firewall
    lab.run(lab.host, f"nft flush chain inet {TABLE} publish")
    before = lab.listed()
    lab.on_host(ruleset.ensure_table, TABLE, firewall)
    assert lab.listed() == before

    lab.run(lab.host, f"nft flush set inet {TABLE} version")
    lab.on_host(ruleset.ensure_table, TABLE, firewall)
    assert "dnat" in lab.listed().partition("chain publish")[2]


def test_a_network_enlisted_again_changes_nothing_and_differently_all_of_it(lab: Lab) -> None:
    firewall = lab.context.firewall
    generation = partial(lab.run, lab.host, "nft -j list ruleset")
    before = generation()
    lab.on_host(networks.enlist, firewall, TABLE, NETWORK)
    assert generation() == before

    other = Network(BRIDGE, SUBNETS[1:], masquerade=False)
    lab.on_host(networks.enlist, firewall, TABLE, other)
    assert str(SUBNETS[0]) not in lab.listed()
    assert "masqueraded {" in lab.listed()
    assert "elements" not in lab.listed().partition("set masqueraded {")[2].partition("}")[0]

    for _ in range(2):
        lab.on_host(networks.strike, firewall, TABLE, BRIDGE)
    assert str(SUBNETS[1]) not in lab.listed()
    assert BRIDGE not in lab.listed()


def test_neighbouring_networks_come_and_go_without_each_other(lab: Lab) -> None:
    firewall = lab.context.firewall
    next_door = [
        ip_network("10.210.1.0/24"),
        ip_network("255.255.255.0/24"),
        ip_network("10.209.255.0/24"),
    ]
    lab.on_host(networks.enlist, firewall, TABLE, Network("next0", tuple(next_door)))
    lab.on_host(networks.strike, firewall, TABLE, BRIDGE)
    for each in next_door:
        assert f"{each} comment" in lab.listed()
    lab.on_host(networks.enlist, firewall, TABLE, NETWORK)
    lab.on_host(networks.strike, firewall, TABLE, "next0")
    assert f"elements = {{ {SUBNETS[0]} comment" in lab.listed()
    assert "next0" not in lab.listed()


def test_a_network_that_overlaps_anothers_is_refused_and_nothing_changes(lab: Lab) -> None:
    before = lab.listed()
    wide = Network("wide0", (ip_network("10.210.0.0/16"),))
    with pytest.raises(CNIError, match="overlaps") as caught:
        lab.on_host(networks.enlist, lab.context.firewall, TABLE, wide)
    assert caught.value.code == Code.INVALID_CONFIG
    assert lab.listed() == before


def test_two_tables_side_by_side_know_nothing_of_each_other(lab: Lab) -> None:
    firewall, other = lab.context.firewall, replace(CONF, table="other")
    args = lab.container("web")
    lab.publish(args, PortMapping(80, 8080))
    lab.publish(args, PortMapping(80, 9090), conf=other)
    with lab.listen(args.netns, Protocol.TCP, 80) as listener:
        for port in (8080, 9090):
            assert lab.talk(lab.outside, (HOST[4], port), listener) == OUTSIDE[4]
        lab.on_host(ruleset.remove_table, "other")
        assert lab.on_host(ports.published, firewall, "other") == set()
        assert lab.talk(lab.outside, (HOST[4], 8080), listener) == OUTSIDE[4]
        with pytest.raises(ConnectionRefusedError):
            lab.talk(lab.outside, (HOST[4], 9090), listener)
