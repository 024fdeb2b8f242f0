"""A subnet as elements of an interval set."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CNIError
from cni.firewall import networks
from cni.firewall.networks import Network


@st.composite
def subnets(draw: st.DrawFn) -> IPv4Network | IPv6Network:
    address = draw(st.ip_addresses())
    length = draw(st.integers(0, address.max_prefixlen))
    return ip_network(f"{address}/{length}", strict=False)


@given(subnets())
def test_an_interval_begins_with_the_first_address_and_ends_after_the_last(
    subnet: IPv4Network | IPv6Network,
) -> None:
    first, *end = networks.interval(subnet, "br0")

    assert ip_address(first.key) == subnet.network_address
    assert (first.ends, first.comment) == (False, "br0")
    if end:
        assert ip_address(end[0].key) - 1 == subnet.broadcast_address
        assert (end[0].ends, end[0].comment) == (True, "")  # the kernel refuses one with comment
    else:
        assert int(subnet.broadcast_address) == 2**subnet.max_prefixlen - 1


@pytest.mark.parametrize("bridge", ["", "a b", "sixteen-letters-", "a/b"])
def test_a_bridge_name_that_is_none_is_refused(bridge: str) -> None:
    with pytest.raises(CNIError):
        Network(bridge)
