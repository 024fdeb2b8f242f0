"""Allow-lists: what the elements of the sets cover is what the rules say, and no two overlap."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.security import allowlist
from cni.security.allowlist import AllowList, Rule


def parsed(**rule: Any) -> Rule:
    found = allowlist.parse(Fields({"ingress": [rule]})).ingress
    assert found is not None
    return found[0]


# Few addresses and ports, so that rules meet.
networks = st.builds(
    lambda host, prefix: ip_network((f"10.0.0.{host}", prefix), strict=False),
    st.integers(0, 15),
    st.integers(28, 32),
)
rules = st.builds(
    lambda protocol, networks, first, count: Rule(protocol, networks, first, first + count),
    st.sampled_from(["tcp", "udp"]),
    st.lists(networks, min_size=1, max_size=3).map(tuple),
    st.integers(0, 12),
    st.integers(0, 5),
)


@given(st.lists(rules, max_size=8))
def test_a_packet_is_in_one_element_if_a_rule_allows_it_else_in_none(given: list[Rule]) -> None:
    elements = []
    for network, protocol, ports in allowlist.elements(given, 4):
        first, _, last = ports.partition("-")
        elements.append((network, protocol, int(first), int(last or first)))
    for protocol in ("tcp", "udp"):
        for host in range(16):
            source = ip_address(f"10.0.0.{host}")
            for port in range(20):
                allowed = any(
                    rule.protocol == protocol
                    and rule.first <= port <= rule.last
                    and any(source in network for network in rule.networks)
                    for rule in given
                )
                holding = [
                    element
                    for element in elements
                    if element[1] == protocol
                    and source in element[0]
                    and element[2] <= port <= element[3]
                ]
                assert len(holding) == allowed


def test_neighbouring_ports_with_the_same_networks_are_one_element() -> None:
    anywhere = (ip_network("0.0.0.0/0"),)
    near = [
        Rule("tcp", anywhere, 80, 84),
        Rule("tcp", anywhere, 85, 90),
        Rule("tcp", anywhere, 82, 87),
    ]

    assert allowlist.elements(near, 4) == [(anywhere[0], "tcp", "80-90")]


def test_families_and_protocols_are_kept_apart() -> None:
    mixed = parsed(protocol="udp", ports="53", cidrs=["10.0.0.0/8", "2001:db8::/32"])

    assert allowlist.elements([mixed], 4) == [(ip_network("10.0.0.0/8"), "udp", "53")]
    assert allowlist.elements([mixed], 6) == [(ip_network("2001:db8::/32"), "udp", "53")]


def test_a_direction_that_is_not_there_is_free_and_an_empty_one_closed() -> None:
    assert allowlist.parse(Fields({})) == AllowList(None, None)
    assert allowlist.parse(Fields({"ingress": [], "egress": None})) == AllowList((), None)

    text = allowlist.script("t", "eth0", AllowList(ingress=()))
    assert "hook input" in text
    assert "hook output" not in text
    assert text.endswith("add rule inet t ingress drop\n")


def test_without_restrictions_the_table_is_only_removed() -> None:
    assert allowlist.script("t", "eth0", AllowList()) == "add table inet t\ndelete table inet t\n"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"protocol": "-1"}, "ip saddr { 10.0.0.0/8 } accept"),
        ({"protocol": "icmp"}, "ip saddr { 10.0.0.0/8 } meta l4proto icmp accept"),
        ({"protocol": "icmp", "ports": "8"}, "ip saddr { 10.0.0.0/8 } icmp type 8 accept"),
        ({"protocol": "1", "ports": "3/4"}, "icmp type 3 icmp code 4 accept"),
        ({"protocol": "50"}, "ip saddr { 10.0.0.0/8 } meta l4proto 50 accept"),
        ({"protocol": "6", "ports": "7"}, "elements = { 10.0.0.0/8 . tcp . 7 }"),
        ({"protocol": "SCTP"}, "elements = { 10.0.0.0/8 . sctp . 0-65535 }"),
    ],
)
def test_each_kind_of_rule_has_its_text(rule: dict[str, Any], text: str) -> None:
    allowed = AllowList(ingress=(parsed(cidrs=["10.0.0.0/8"], **rule),))

    assert text in allowlist.script("t", "eth0", allowed)


def test_ping_is_of_one_family() -> None:
    both = ["10.0.0.0/8", "::/0"]
    allowed = AllowList(ingress=(parsed(protocol="icmp", cidrs=both),))
    assert "ip6 saddr" not in allowlist.script("t", "eth0", allowed)
    allowed = AllowList(ingress=(parsed(protocol="icmpv6", cidrs=both),))
    assert "ip saddr" not in allowlist.script("t", "eth0", allowed)


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"protocol": "tpc"}, "ingress[0].protocol"),
        ({"protocol": "256"}, "ingress[0].protocol"),
        ({}, "ingress[0].protocol"),
        ({"protocol": "tcp", "ports": "90-80"}, "ingress[0].ports"),
        ({"protocol": "tcp", "ports": "65536"}, "ingress[0].ports"),
        ({"protocol": "tcp", "ports": 80}, "ingress[0].ports"),
        ({"protocol": "icmp", "ports": "8-9"}, "ingress[0].ports"),
        ({"protocol": "icmp", "ports": "256"}, "ingress[0].ports"),
        ({"protocol": "-1", "ports": "80"}, "ingress[0].ports"),
        ({"protocol": "tcp", "cidrs": ["10.0.0.0/33"]}, "ingress[0].cidrs"),
    ],
)
def test_what_is_wrong_is_named(rule: dict[str, Any], place: str) -> None:
    with pytest.raises(CNIError) as caught:
        parsed(**rule)
    assert caught.value.code == Code.INVALID_CONFIG
    assert caught.value.msg.startswith(place)
