"""Published ports and masquerading: every path a packet takes, and who gets which port."""

import contextlib
import dataclasses
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cni import loopback, netns, portmap, ruleset
from cni.context import open_context
from cni.errors import CNIError, Code, PortTaken
from cni.hostports import PortRange
from cni.loopback import METADATA_ADDRESS
from cni.nft import Protocol, PublishedPort
from cni.portmap import Binding, PortmapConfig, PortMapping
from cni.ruleset import Network
from cni.spec import Args
from tests.system import netlab
from tests.system.netlab import CONF, HOST, LOOPBACK, OUTSIDE, SUBNET, TABLE, Lab

GATEWAY = CONF.ipam.gateway.ip
PATIENCE_S = 0.4  # for what must not pass
ADDRESS = IPv4Address("10.210.0.2")  # the first container's

both = pytest.mark.parametrize("protocol", list(Protocol))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


def conf(*mappings: PortMapping, between: tuple[int, int] | None = None) -> PortmapConfig:
    return PortmapConfig(ADDRESS, mappings, PortRange(*between) if between else None)


def publish(lab: Lab, name: str, conf: PortmapConfig) -> tuple[Binding, ...]:
    return lab.on_host(portmap.add, conf, lab.args(name), lab.context)


def published(lab: Lab) -> set[PublishedPort]:
    return lab.on_host(lab.context.ports.published)


@contextlib.contextmanager
def web(lab: Lab, protocol: Protocol) -> Iterator[tuple[Args, socket.socket]]:
    """A container whose port 80 is published as 8080, and its server socket."""
    args, _ = lab.attach("web")
    publish(lab, "web", conf(PortMapping(80, 8080, protocol)))
    assert args.netns is not None
    with lab.listen(args.netns, protocol, 80) as listener:
        yield args, listener


@both
def test_outside_reaches_a_published_port_under_its_own_address(
    lab: Lab, protocol: Protocol
) -> None:
    with web(lab, protocol) as (_, listener):
        assert lab.talk(lab.outside, (HOST.ip, 8080), listener) == str(OUTSIDE.ip)


@both
@pytest.mark.parametrize("to", [HOST.ip, GATEWAY, LOOPBACK])
def test_the_host_reaches_a_published_port_at_each_of_its_addresses(
    lab: Lab, protocol: Protocol, to: IPv4Address
) -> None:
    with web(lab, protocol) as (_, listener):
        seen = lab.talk(lab.host, (to, 8080), listener)
        assert seen == str(GATEWAY if to == LOOPBACK else to)


@both
@pytest.mark.parametrize("to", [HOST.ip, GATEWAY])
def test_a_container_reaches_its_own_published_port(
    lab: Lab, protocol: Protocol, to: IPv4Address
) -> None:
    with web(lab, protocol) as (args, listener):
        assert args.netns is not None
        assert lab.talk(args.netns, (to, 8080), listener) == str(GATEWAY)


@both
def test_a_container_reaches_anothers_published_port(lab: Lab, protocol: Protocol) -> None:
    with web(lab, protocol) as (_, listener):
        other, _ = lab.attach("other")
        assert other.netns is not None
        assert lab.talk(other.netns, (HOST.ip, 8080), listener) == str(GATEWAY)


@both
def test_containers_reach_each_other_under_their_own_addresses(
    lab: Lab, protocol: Protocol
) -> None:
    with web(lab, protocol) as (_, listener):
        other, result = lab.attach("other")
        assert other.netns is not None
        seen = lab.talk(other.netns, (ADDRESS, 80), listener)
        assert seen == str(result.ips[0].address.ip)


@both
def test_a_container_reaches_outside_under_the_hosts_address(lab: Lab, protocol: Protocol) -> None:
    args, _ = lab.attach("a")
    assert args.netns is not None
    with lab.listen(lab.outside, protocol, 9000) as listener:
        assert lab.talk(args.netns, (OUTSIDE.ip, 9000), listener) == str(HOST.ip)


def test_nobody_outside_reaches_an_unpublished_port_by_routing_through_the_host(lab: Lab) -> None:
    route = ("ip", "route", "add", str(SUBNET), "via", str(HOST.ip))
    lab.threads.call(lab.outside, partial(subprocess.run, route, check=True, timeout=10))
    with web(lab, Protocol.TCP) as (_, listener):
        with pytest.raises(TimeoutError):
            lab.talk(lab.outside, (ADDRESS, 80), listener, PATIENCE_S)
        assert lab.talk(lab.outside, (HOST.ip, 8080), listener) == str(OUTSIDE.ip)


def test_a_container_does_not_reach_the_hosts_loopback(lab: Lab) -> None:
    args, _ = lab.attach("a")
    route = ("ip", "route", "add", "127.0.0.53/32", "via", str(GATEWAY))
    lo = ("ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
    own = ("ip", "route", "flush", "table", "local", "127.0.0.0/8")
    for command in (lo, own, route):
        run = partial(subprocess.run, command, check=False, timeout=10, capture_output=True)
        lab.threads.call(args.netns, run)
    sysctl = Path("/proc/sys/net/ipv4/conf/eth0/route_localnet")
    lab.threads.call(args.netns, partial(sysctl.write_text, "1"))
    secret = partial(netlab.server, Protocol.UDP, 5353, IPv4Address("127.0.0.53"))
    assert args.netns is not None
    with lab.threads.call(lab.host, secret) as listener:
        listener.settimeout(PATIENCE_S)
        with pytest.raises(TimeoutError):
            lab.talk(args.netns, (IPv4Address("127.0.0.53"), 5353), listener)
        unguard = ("nft", "flush", "chain", "inet", TABLE, "guard")
        lab.on_host(partial(subprocess.run, unguard, check=True, timeout=10))
        listener.settimeout(2)
        question = partial(netlab.connected, Protocol.UDP, (IPv4Address("127.0.0.53"), 5353))
        with lab.threads.call(args.netns, question) as client:
            client.send(b"ask")
            assert listener.recv(10) == b"ask"  # it was the guard that kept it off


def test_a_published_port_80_does_not_take_the_metadata_endpoint_of_the_host(lab: Lab) -> None:
    args, _ = lab.attach("web")
    assert args.netns is not None
    with lab.on_host(loopback.listen, METADATA_ADDRESS, 80) as endpoint:
        endpoint.settimeout(netlab.DEADLINE_S)
        publish(lab, "web", conf(PortMapping(80, 80)))
        with lab.listen(args.netns, Protocol.TCP, 80) as listener:
            assert lab.talk(lab.host, (METADATA_ADDRESS, 80), endpoint) == str(METADATA_ADDRESS)
            assert lab.talk(lab.host, (LOOPBACK, 80), listener) == str(GATEWAY)
            assert lab.talk(lab.outside, (HOST.ip, 80), listener) == str(OUTSIDE.ip)


def test_nobody_but_the_host_reaches_the_metadata_endpoint_of_the_host(lab: Lab) -> None:
    args, _ = lab.attach("a")
    route = ("ip", "route", "add", str(METADATA_ADDRESS), "via", str(HOST.ip))
    lab.threads.call(lab.outside, partial(subprocess.run, route, check=True, timeout=10))
    assert args.netns is not None
    with lab.on_host(loopback.listen, METADATA_ADDRESS, 80) as endpoint:
        for source in (lab.outside, args.netns):
            with pytest.raises(TimeoutError):
                lab.talk(source, (METADATA_ADDRESS, 80), endpoint, PATIENCE_S)


@pytest.mark.parametrize("address", ["127.0.0.53", "::"])
def test_a_listener_beside_the_metadata_endpoint_keeps_its_port(lab: Lab, address: str) -> None:
    serve = partial(socket.create_server, (address, 80), dualstack_ipv6=False)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        lab.on_host(loopback.listen, METADATA_ADDRESS, 80),
        lab.on_host(partial(serve, family=family)),
        pytest.raises(PortTaken),
    ):
        publish(lab, "a", conf(PortMapping(80, 80)))


def test_add_check_delete_delete_leaves_nothing(lab: Lab) -> None:
    wanted = conf(PortMapping(80, 8080), PortMapping(53, 5300, Protocol.UDP))
    bindings = publish(lab, "a", wanted)
    done = dataclasses.replace(wanted, bindings=bindings)

    assert bindings == (Binding(Protocol.TCP, 80, 8080), Binding(Protocol.UDP, 53, 5300))
    lab.on_host(portmap.check, done, lab.args("a"), lab.context)

    for _ in range(2):
        lab.on_host(portmap.delete, conf(), lab.args("a"), lab.context)
        assert published(lab) == set()
        with pytest.raises(CNIError, match="8080/tcp does not lead"):
            lab.on_host(portmap.check, done, lab.args("a"), lab.context)


def test_nft_lists_the_ports_as_we_wrote_them(lab: Lab) -> None:
    publish(lab, "a-1", conf(PortMapping(80, 8080), PortMapping(53, 5300, Protocol.UDP)))

    command = ("nft", "list", "map", "inet", TABLE, ruleset.PORTS_MAP)
    run = partial(subprocess.run, command, check=True, timeout=10, capture_output=True, text=True)
    listed = " ".join(lab.on_host(run).stdout.split())

    assert 'tcp . 8080 comment "a-1" : 10.210.0.2 . 80' in listed
    assert 'udp . 5300 comment "a-1" : 10.210.0.2 . 53' in listed


def test_a_published_port_is_refused_to_a_second_container(lab: Lab) -> None:
    publish(lab, "a", conf(PortMapping(80, 8080)))
    before = published(lab)

    with pytest.raises(PortTaken, match="8080/tcp") as caught:
        publish(lab, "b", conf(PortMapping(81, 8081), PortMapping(80, 8080)))

    assert (caught.value.protocol, caught.value.port) == ("tcp", 8080)
    assert published(lab) == before
    publish(lab, "b", conf(PortMapping(80, 8080, Protocol.UDP)))


@both
def test_a_port_that_a_local_program_uses_is_refused(lab: Lab, protocol: Protocol) -> None:
    with (
        lab.listen(lab.host, protocol, 8080),
        pytest.raises(PortTaken, match=f"8080/{protocol.value}.*program"),
    ):
        publish(lab, "a", conf(PortMapping(80, 8080, protocol)))


def test_add_repeated_after_a_crash_replaces_what_was_there(lab: Lab) -> None:
    publish(lab, "a", conf(PortMapping(80, 8080), PortMapping(81)))
    publish(lab, "a", conf(PortMapping(80, 8080)))

    assert {port.host_port for port in published(lab)} == {8080}


def test_delete_after_the_port_went_to_another_container_takes_nothing(lab: Lab) -> None:
    publish(lab, "a", conf(PortMapping(80, 8080)))
    lab.on_host(portmap.delete, conf(), lab.args("a"), lab.context)
    publish(lab, "ab", conf(PortMapping(80, 8080)))  # the name begins alike, too

    lab.on_host(portmap.delete, conf(), lab.args("a"), lab.context)

    assert {port.owner for port in published(lab)} == {"ab"}


def test_dynamic_ports_go_upward_and_wrap(lab: Lab) -> None:
    chosen = [
        publish(lab, f"c{number}", conf(PortMapping(80), between=(40000, 40002)))[0].host_port
        for number in range(3)
    ]
    assert chosen == [40000, 40001, 40002]

    with pytest.raises(CNIError) as caught:
        publish(lab, "late", conf(PortMapping(80), between=(40000, 40002)))
    assert caught.value.code == Code.TRY_AGAIN_LATER

    lab.on_host(portmap.delete, conf(), lab.args("c1"), lab.context)
    late = publish(lab, "late", conf(PortMapping(80), between=(40000, 40002)))
    assert late[0].host_port == 40001


def test_dynamic_ports_pass_over_local_programs_and_fixed_ports(lab: Lab) -> None:
    with lab.listen(lab.host, Protocol.TCP, 40000):
        mappings = (PortMapping(80), PortMapping(81, 40001), PortMapping(82))
        bindings = publish(lab, "a", conf(*mappings, between=(40000, 40009)))

    assert [one.host_port for one in bindings] == [40002, 40001, 40003]
    assert [one.container_port for one in bindings] == [80, 81, 82]


def test_a_range_gets_neighbouring_host_ports(lab: Lab) -> None:
    publish(lab, "a", conf(PortMapping(80, 40002)))

    run = publish(lab, "b", conf(PortMapping(7000, count=3), between=(40000, 40009)))

    assert [(one.container_port, one.host_port) for one in run] == [
        (7000, 40003), (7001, 40004), (7002, 40005)
    ]  # fmt: skip


def test_the_default_range_is_the_kernels(lab: Lab) -> None:
    run = partial(Path("/proc/sys/net/ipv4/ip_local_port_range").write_text, "50000 50001")
    lab.on_host(run)

    assert publish(lab, "a", conf(PortMapping(80)))[0].host_port == 50000


def test_no_port_is_handed_out_twice_when_many_add_at_once(lab: Lab) -> None:
    def add(number: int) -> int:
        netns.enter(lab.host)
        context = open_context(lab.root / f"state{number}", TABLE)  # hints of their own: worst case
        try:
            wanted = conf(PortMapping(80), between=(40000, 40011))
            bindings = portmap.add(wanted, lab.args(f"c{number}"), context)
        finally:
            context.close()
        return bindings[0].host_port

    chosen = netlab.in_threads(12, add)

    assert sorted(chosen) == list(range(40000, 40012))
    assert {port.host_port for port in published(lab)} == set(chosen)


def test_gc_withdraws_what_belongs_to_no_valid_container(lab: Lab) -> None:
    for number, name in enumerate("abc"):
        publish(lab, name, conf(PortMapping(80, 8080 + number)))

    lab.on_host(portmap.gc, {"b"}, lab.context)

    assert {port.owner for port in published(lab)} == {"b"}


def test_many_ports_are_listed_completely(lab: Lab) -> None:
    wanted = conf(PortMapping(1000, 20000, count=3000))
    bindings = publish(lab, "many", wanted)
    assert len(published(lab)) == len(bindings) == 3000

    with pytest.raises(PortTaken, match="20000/tcp"):
        publish(lab, "more", wanted)
    assert len(published(lab)) == 3000

    lab.on_host(portmap.delete, conf(), lab.args("many"), lab.context)
    assert published(lab) == set()


def test_the_table_made_again_keeps_the_ports_and_changes_the_networks(lab: Lab) -> None:
    publish(lab, "a", conf(PortMapping(80, 8080)))
    before = published(lab)

    lab.on_host(ruleset.ensure_table, TABLE, [Network("other0", SUBNET.supernet())])

    assert published(lab) == before
    command = ("nft", "list", "table", "inet", TABLE)
    run = partial(subprocess.run, command, check=True, timeout=10, capture_output=True, text=True)
    listed = lab.on_host(run).stdout
    assert "10.210.0.0/23" in listed
    assert CONF.bridge not in listed
    assert listed.count("masquerade") == 3


def test_remove_table_is_repeatable_and_then_nothing_can_be_published(lab: Lab) -> None:
    for _ in range(2):
        lab.on_host(ruleset.remove_table, TABLE)

    with pytest.raises(CNIError, match="No such file") as caught:
        publish(lab, "a", conf(PortMapping(80, 8080)))
    assert caught.value.code == Code.IO_FAILURE
