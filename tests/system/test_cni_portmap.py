"""The portmap plugin: who gets which port, and what is left afterwards."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from cni.context import open_context
from cni.errors import CNIError, Code, PortTaken
from cni.firewall import ruleset
from cni.kernel import netns
from cni.portmap import plugin as portmap
from cni.portmap.mappings import PortMapping, Protocol
from cni.spec import IP, Args, Attachment, Result
from tests.system import netlab, portlab
from tests.system.portlab import (
    CONF,
    HOST,
    OUTSIDE,
    SECOND,
    TABLE,
    Lab,
    with_ports,
)

both = pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


@pytest.mark.parametrize(("host_ip", "published"), [("0.0.0.0", {4}), ("::", {6})])
def test_any_address_of_one_version_leaves_the_other_alone(
    lab: Lab, host_ip: str, published: set[int]
) -> None:
    lab.publish(lab.container("a"), PortMapping(80, 8080, host_ip=ip_address(host_ip)))

    found = lab.published()

    assert {(port.address.version, port.host_ip) for port in found} == {
        (version, None) for version in published
    }


def test_a_host_address_of_a_version_that_the_container_lacks_is_passed_over(lab: Lab) -> None:
    args = lab.container("a")
    assert args.prev is not None
    only4 = replace(args, prev=replace(args.prev, ips=args.prev.ips[:1]))
    with lab.listen(lab.host, Protocol.TCP, 8081):
        lab.publish(only4, PortMapping(80, 8080), PortMapping(80, 8081, host_ip=SECOND[6]))

    assert {port.host_port for port in lab.published()} == {8080}


def test_sctp_ports_are_elements_like_others(lab: Lab) -> None:
    lab.publish(lab.container("a"), PortMapping(36412, 36412, Protocol.SCTP))

    assert 'sctp . 36412 comment "lab a eth0" : 10.210.0.2 . 36412' in lab.listed()
    assert 'sctp . 36412 comment "lab a eth0" : fd10:210::2 . 36412' in lab.listed()


def test_add_check_delete_delete_leaves_nothing(lab: Lab) -> None:
    wanted = (PortMapping(80, 8080), PortMapping(53, 5300, Protocol.UDP))
    args = lab.publish(lab.container("a"), *wanted)
    lab.on_host(portmap.check, CONF, args, lab.context)

    for _ in range(2):
        lab.withdraw(Args("a", None))  # all that a runtime must know
        assert lab.published() == set()
        with pytest.raises(CNIError, match="8080/tcp does not lead") as caught:
            lab.on_host(portmap.check, CONF, args, lab.context)
        assert caught.value.code == Code.CHECK_FAILED


def test_check_sees_a_port_that_leads_elsewhere(lab: Lab) -> None:
    args = lab.publish(lab.container("a"), PortMapping(80, 8080))

    wrong = with_ports(args, PortMapping(81, 8080))
    with pytest.raises(CNIError, match="8080/tcp does not lead"):
        lab.on_host(portmap.check, CONF, wrong, lab.context)


def test_delete_without_a_table_is_fine(lab: Lab) -> None:
    for _ in range(2):
        lab.on_host(ruleset.remove_table, TABLE)
        lab.withdraw(Args("a", None))
    assert lab.published() == set()


def test_the_elements_of_one_interface_stay_when_the_others_go(lab: Lab) -> None:
    args = lab.container("a")
    lab.publish(args, PortMapping(80, 8080))
    other = replace(args, ifname="eth1", prev=Result((), args.prev.ips if args.prev else ()))
    lab.publish(replace(other, prev=without_interfaces(args)), PortMapping(80, 8081))

    lab.withdraw(args)

    assert {port.host_port for port in lab.published()} == {8081}


def without_interfaces(args: Args) -> Result:
    assert args.prev is not None
    return Result((), tuple(replace(ip, interface=None) for ip in args.prev.ips))


def test_only_addresses_of_the_containers_own_interface_are_led_to(lab: Lab) -> None:
    args = lab.container("a")
    assert args.prev is not None
    foreign = IP(ip_interface("10.9.9.9/24"), interface=0)
    second = IP(ip_interface("10.210.0.99/24"), interface=2)
    args = replace(args, prev=replace(args.prev, ips=(foreign, *args.prev.ips, second)))

    lab.publish(args, PortMapping(80, 8080))

    assert {str(port.address) for port in lab.published()} == {"10.210.0.2", "fd10:210::2"}


def test_a_published_port_is_refused_to_a_second_container(lab: Lab) -> None:
    lab.publish(lab.container("a"), PortMapping(80, 8080))
    before = lab.published()
    second = lab.container("b")

    with pytest.raises(PortTaken, match=r"8080/tcp .*held by lab a eth0") as caught:
        lab.publish(second, PortMapping(81, 8081), PortMapping(80, 8080))

    assert (caught.value.protocol, caught.value.port) == ("tcp", 8080)
    assert lab.published() == before
    lab.publish(second, PortMapping(80, 8080, Protocol.UDP))


@both
def test_a_port_that_a_local_program_uses_is_refused(lab: Lab, protocol: Protocol) -> None:
    args = lab.container("a")
    with (
        lab.listen(lab.host, protocol, 8080),
        pytest.raises(PortTaken, match=f"8080/{protocol.value}.*program"),
    ):
        lab.publish(args, PortMapping(80, 8080, protocol))
    assert lab.published() == set()


def test_a_local_program_at_another_address_does_not_matter_to_one_address(lab: Lab) -> None:
    args = lab.container("web")
    serve = partial(socket.create_server, (str(HOST[4]), 8080))
    with lab.on_host(serve), lab.listen(args.netns, Protocol.TCP, 80) as listener:
        lab.publish(args, PortMapping(80, 8080, host_ip=SECOND[4]))
        assert lab.talk(lab.outside, (SECOND[4], 8080), listener) == OUTSIDE[4]


def test_add_repeated_after_a_crash_replaces_what_was_there(lab: Lab) -> None:
    args = lab.container("a")
    lab.publish(args, PortMapping(80, 8080), PortMapping(81, 8081))
    lab.publish(args, PortMapping(81, 8080))

    assert {(port.host_port, port.container_port) for port in lab.published()} == {(8080, 81)}


def test_delete_after_the_port_went_to_another_container_takes_nothing(lab: Lab) -> None:
    lab.publish(lab.container("a"), PortMapping(80, 8080))
    lab.withdraw(Args("a", None))
    lab.publish(lab.container("ab"), PortMapping(80, 8080))  # the name begins alike, too

    lab.withdraw(Args("a", None))

    assert {port.owner for port in lab.published()} == {"lab ab eth0"}


def test_no_port_is_published_twice_when_many_add_at_once(lab: Lab) -> None:
    containers = [lab.container(f"c{number}") for number in range(8)]

    def add(number: int) -> bool:
        netns.enter(lab.host)
        context = open_context(lab.root / f"state{number}")
        wanted = with_ports(containers[number], PortMapping(80, 8080), PortMapping(90, 9000))
        try:
            portmap.add(CONF, wanted, context)
        except PortTaken:
            return False
        finally:
            context.close()
        return True

    won = netlab.in_threads(8, add)

    assert won.count(True) == 1
    assert {port.owner for port in lab.published()} == {f"lab c{won.index(True)} eth0"}


def test_gc_withdraws_what_belongs_to_no_valid_attachment_of_the_network(lab: Lab) -> None:
    for number, name in enumerate("abc"):
        lab.publish(lab.container(name), PortMapping(80, 8080 + number))
    other = replace(CONF, network="lab2")
    lab.publish(lab.container("d"), PortMapping(80, 8090), conf=other)

    lab.on_host(portmap.gc, CONF, {Attachment("b", "eth0"), Attachment("c", "eth1")}, lab.context)

    assert {port.owner for port in lab.published()} == {"lab b eth0", "lab2 d eth0"}


def test_long_names_are_found_again(lab: Lab) -> None:
    conf = replace(CONF, network="network-" + "n" * 100)
    args = replace(lab.container("x"), container_id="c" * 200)
    published = lab.publish(args, PortMapping(80, 8080), conf=conf)
    other = replace(conf, network=conf.network + "m")

    lab.on_host(portmap.check, conf, published, lab.context)
    lab.on_host(portmap.gc, other, set(), lab.context)
    assert len(lab.published()) == 2
    lab.on_host(portmap.gc, conf, set(), lab.context)
    assert lab.published() == set()


def test_a_thousand_mappings_are_published_at_once_and_lead_where_they_should(lab: Lab) -> None:
    args = lab.container("web")
    wanted = [PortMapping(1000 + at, 20000 + at) for at in range(1000)]
    lab.publish(args, *wanted)
    assert len(lab.published()) == 2000

    with lab.listen(args.netns, Protocol.TCP, 1999) as listener:
        assert lab.talk(lab.outside, (HOST[4], 20999), listener) == OUTSIDE[4]
    second = lab.container("b")
    with pytest.raises(PortTaken, match="20999/tcp"):
        lab.publish(second, PortMapping(80, 30000), PortMapping(1, 20999))
    assert len(lab.published()) == 2000

    lab.withdraw(args)
    assert lab.published() == set()


def test_a_range_is_as_many_ports_in_a_row(lab: Lab) -> None:
    args = lab.container("a")
    lab.publish(args, PortMapping(7000, 9000, count=3))

    assert {(port.host_port, port.container_port) for port in lab.published()} == {
        (9000, 7000), (9001, 7001), (9002, 7002)
    }  # fmt: skip


def test_status_is_good_with_and_without_a_table_and_bad_without_nft(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.on_host(portmap.status, CONF, lab.context)
    lab.on_host(ruleset.remove_table, TABLE)
    lab.on_host(portmap.status, CONF, lab.context)
    assert "table" not in lab.run(lab.host, "nft list tables")

    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CNIError, match="nft is not installed") as caught:
        lab.on_host(portmap.status, CONF, lab.context)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE


def test_a_table_that_others_removed_is_made_by_the_next_add(lab: Lab) -> None:
    lab.run(lab.host, "nft flush ruleset")
    lab.publish(lab.container("a"), PortMapping(80, 8080))
    assert {port.host_port for port in lab.published()} == {8080}


def test_nothing_is_done_without_mappings(lab: Lab) -> None:
    lab.run(lab.host, "nft flush ruleset")
    lab.publish(lab.container("a"))
    assert "table" not in lab.run(lab.host, "nft list tables")
