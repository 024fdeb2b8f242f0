"""Published ports and masquerading: every path a packet takes."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from cni.errors import PortTaken
from cni.firewall import networks
from cni.firewall.networks import Network
from cni.kernel import loopback
from cni.kernel.loopback import METADATA_ADDRESS
from cni.portmap.mappings import PortMapping, Protocol
from cni.spec import Args
from tests.system import netlab, portlab
from tests.system.portlab import (
    BRIDGE,
    DEADLINE_S,
    GATEWAY,
    HOST,
    LOOPBACK,
    OUTSIDE,
    PATIENCE_S,
    SECOND,
    SUBNETS,
    TABLE,
    Address,
    Lab,
)

both = pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


@contextlib.contextmanager
def web(lab: Lab, protocol: Protocol, *more: PortMapping) -> Iterator[tuple[Args, socket.socket]]:
    """A container whose port 80 is published as 8080, and its server socket."""
    args = lab.container("web")
    lab.publish(args, PortMapping(80, 8080, protocol), *more)
    with lab.listen(args.netns, protocol, 80) as listener:
        yield args, listener


def address_of(args: Args, version: int) -> Address:
    assert args.prev is not None
    return next(ip.address.ip for ip in args.prev.ips if ip.address.version == version)


@both
@versions
def test_outside_reaches_a_published_port_under_its_own_address(
    lab: Lab, protocol: Protocol, version: int
) -> None:
    with web(lab, protocol) as (_, listener):
        assert lab.talk(lab.outside, (HOST[version], 8080), listener) == OUTSIDE[version]


@both
@pytest.mark.parametrize("to", [*HOST.values(), *GATEWAY.values(), LOOPBACK], ids=str)
def test_the_host_reaches_a_published_port_at_each_of_its_addresses(
    lab: Lab, protocol: Protocol, to: Address
) -> None:
    with web(lab, protocol) as (_, listener):
        seen = lab.talk(lab.host, (to, 8080), listener)
        assert seen == (GATEWAY[4] if to == LOOPBACK else to)


def test_localhost_over_ipv6_is_refused_at_once_so_that_clients_go_on_to_ipv4(lab: Lab) -> None:
    with web(lab, Protocol.TCP) as (_, listener), pytest.raises(ConnectionRefusedError):
        lab.talk(lab.host, (ip_address("::1"), 8080), listener)


@both
@pytest.mark.parametrize("to", [*HOST.values(), *GATEWAY.values()], ids=str)
def test_a_container_reaches_its_own_published_port(
    lab: Lab, protocol: Protocol, to: Address
) -> None:
    with web(lab, protocol) as (args, listener):
        assert lab.talk(args.netns, (to, 8080), listener) == GATEWAY[to.version]


@both
@versions
def test_a_container_reaches_anothers_published_port(
    lab: Lab, protocol: Protocol, version: int
) -> None:
    with web(lab, protocol) as (_, listener):
        other = lab.container("other")
        assert lab.talk(other.netns, (HOST[version], 8080), listener) == GATEWAY[version]


@both
@versions
def test_containers_reach_each_other_under_their_own_addresses(
    lab: Lab, protocol: Protocol, version: int
) -> None:
    with web(lab, protocol) as (args, listener):
        other = lab.container("other")
        seen = lab.talk(other.netns, (address_of(args, version), 80), listener)
        assert seen == address_of(other, version)


@both
@versions
def test_a_container_reaches_outside_under_the_hosts_address(
    lab: Lab, protocol: Protocol, version: int
) -> None:
    args = lab.container("a")
    with lab.listen(lab.outside, protocol, 9000) as listener:
        seen = lab.talk(args.netns, (OUTSIDE[version], 9000), listener)
        assert seen in (HOST[version], SECOND[version])


@versions
def test_a_network_without_masquerading_shows_its_containers_outside(
    lab: Lab, version: int
) -> None:
    plain = Network(BRIDGE, SUBNETS, masquerade=False)
    lab.on_host(networks.enlist, lab.context.firewall, TABLE, plain)
    args = lab.container("a")
    lab.run(lab.outside, *(f"ip route add {net} via {HOST[net.version]}" for net in SUBNETS))
    with lab.listen(lab.outside, Protocol.UDP, 9000) as listener:
        seen = lab.talk(args.netns, (OUTSIDE[version], 9000), listener)
        assert seen == address_of(args, version)


@versions
def test_nobody_outside_reaches_an_unpublished_port_by_routing_through_the_host(
    lab: Lab, version: int
) -> None:
    lab.run(lab.outside, *(f"ip route add {net} via {HOST[net.version]}" for net in SUBNETS))
    with web(lab, Protocol.TCP) as (args, listener):
        with pytest.raises(TimeoutError):
            lab.talk(lab.outside, (address_of(args, version), 80), listener, PATIENCE_S)
        assert lab.talk(lab.outside, (HOST[version], 8080), listener) == OUTSIDE[version]


def test_a_container_does_not_reach_the_hosts_loopback(lab: Lab) -> None:
    args = lab.container("a")
    lab.publish(args, PortMapping(80, 8080))  # opens route_localnet
    assert args.netns is not None
    lab.run(
        args.netns,
        "ip address del 127.0.0.1/8 dev lo",
        f"ip route add 127.0.0.53 via {GATEWAY[4]}",
        "sysctl -q net.ipv4.conf.eth0.route_localnet=1",
    )
    secret = partial(netlab.server, Protocol.UDP, 5353, IPv4Address("127.0.0.53"))
    to = (IPv4Address("127.0.0.53"), 5353)
    with lab.threads.call(lab.host, secret) as listener:
        listener.settimeout(PATIENCE_S)
        with pytest.raises(TimeoutError):
            lab.talk(args.netns, to, listener)
        lab.run(lab.host, f"nft flush chain inet {TABLE} guard")
        listener.settimeout(DEADLINE_S)
        with lab.connect(args.netns, Protocol.UDP, to, DEADLINE_S) as client:
            client.send(b"ask")
            assert listener.recv(10) == b"ask"  # it was the guard that kept it off


def test_a_published_port_80_does_not_take_the_metadata_endpoint_of_the_host(lab: Lab) -> None:
    args = lab.container("web")
    with lab.on_host(loopback.listen, METADATA_ADDRESS, 80) as endpoint:
        lab.publish(args, PortMapping(80, 80))
        with lab.listen(args.netns, Protocol.TCP, 80) as listener:
            to = (METADATA_ADDRESS, 80)
            client = partial(lab.connect, lab.host, Protocol.TCP, to, DEADLINE_S)
            with client(), contextlib.closing(accepted(endpoint)):
                pass
            assert lab.talk(lab.host, (LOOPBACK, 80), listener) == GATEWAY[4]
            assert lab.talk(lab.outside, (HOST[4], 80), listener) == OUTSIDE[4]


def accepted(endpoint: socket.socket) -> socket.socket:
    endpoint.settimeout(DEADLINE_S)
    served, _ = endpoint.accept()
    return served


def test_nobody_but_the_host_reaches_the_metadata_endpoint_of_the_host(lab: Lab) -> None:
    args = lab.container("a")
    lab.run(lab.outside, f"ip route add {METADATA_ADDRESS} via {HOST[4]}")
    with lab.on_host(loopback.listen, METADATA_ADDRESS, 80) as endpoint:
        for source in (lab.outside, args.netns):
            with pytest.raises(TimeoutError):
                lab.talk(source, (METADATA_ADDRESS, 80), endpoint, PATIENCE_S)


@pytest.mark.parametrize("address", ["127.0.0.53", "::"])
def test_a_listener_beside_the_metadata_endpoint_keeps_its_port(lab: Lab, address: str) -> None:
    serve = partial(socket.create_server, (address, 80), dualstack_ipv6=False)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    args = lab.container("a")
    with (
        lab.on_host(loopback.listen, METADATA_ADDRESS, 80),
        lab.on_host(partial(serve, family=family)),
        pytest.raises(PortTaken),
    ):
        lab.publish(args, PortMapping(80, 80))


@versions
def test_a_port_of_one_host_address_is_only_there(lab: Lab, version: int) -> None:
    args = lab.container("web")
    lab.publish(args, PortMapping(80, 8080, host_ip=SECOND[version]))
    with lab.listen(args.netns, Protocol.TCP, 80) as listener:
        assert lab.talk(lab.outside, (SECOND[version], 8080), listener) == OUTSIDE[version]
        with pytest.raises(ConnectionRefusedError):
            lab.talk(lab.outside, (HOST[version], 8080), listener)
    assert {port.host_ip for port in lab.published()} == {SECOND[version]}


@versions
def test_a_particular_host_address_goes_before_all(lab: Lab, version: int) -> None:
    everywhere, there = lab.container("everywhere"), lab.container("there")
    lab.publish(everywhere, PortMapping(80, 8080))
    lab.publish(there, PortMapping(80, 8080, host_ip=SECOND[version]))
    with (
        lab.listen(everywhere.netns, Protocol.TCP, 80) as one,
        lab.listen(there.netns, Protocol.TCP, 80) as other,
    ):
        assert lab.talk(lab.outside, (SECOND[version], 8080), other) == OUTSIDE[version]
        assert lab.talk(lab.outside, (HOST[version], 8080), one) == OUTSIDE[version]


def test_a_foreign_bridge_gets_its_ports_on_all_paths_too(lab: Lab) -> None:
    """The table knows nothing of the bridge but what portmap sees in the result before it."""
    lab.on_host(networks.strike, lab.context.firewall, TABLE, BRIDGE)
    with web(lab, Protocol.TCP) as (args, listener):
        for version in (4, 6):
            assert lab.talk(args.netns, (HOST[version], 8080), listener) == GATEWAY[version]
        assert lab.talk(lab.host, (LOOPBACK, 8080), listener) == GATEWAY[4]
