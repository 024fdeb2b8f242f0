"""The bridge plugin on the real kernel: ADD, CHECK, DEL, and what is left behind.

CHECK, IPv6, and rarer keys with GC and STATUS have tests of their own beside this.
"""

import dataclasses
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from cni.bridge import plugin as bridge
from cni.errors import CNIError, Code
from cni.kernel import netns, rtnetlink, sysctl
from cni.portmap.mappings import Protocol
from cni.spec import Interface
from tests.system import netlab
from tests.system.netlab import GATEWAY, SUBNET, Lab

HAIRPIN = ("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_MODE")
A = netlab.host_end("a")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


def test_add_check_delete_delete_leaves_nothing_but_the_bridge(lab: Lab) -> None:
    before = netlab.host_names(lab)
    args, result = lab.attach("a")

    lab.check(args, result)
    assert lab.leases() == ["10.210.0.2"]

    lab.on_host(bridge.delete, lab.conf(), args, lab.context)
    lab.on_host(bridge.delete, lab.conf(), args, lab.context)
    assert args.netns is not None
    netns.remove(args.netns)
    netns.remove(args.netns)

    assert netlab.host_names(lab) == sorted([*before, "lab0"])
    assert lab.leases() == []
    assert list((lab.root / "netns").iterdir()) == []


def test_result_tells_what_was_made(lab: Lab) -> None:
    args, result = lab.attach("a")

    names = [(one.name, one.sandbox) for one in result.interfaces]
    assert names == [("lab0", ""), (A, ""), ("eth0", str(args.netns))]
    assert result.ips[0].address == IPv4Interface("10.210.0.2/24")
    assert result.ips[0].gateway == result.routes[0].gw == GATEWAY
    assert result.ips[0].interface == 2


def test_another_netlink_library_sees_the_same(lab: Lab) -> None:
    args, result = lab.attach("a", lab.conf(mtu=1400))
    with (
        lab.on_host(rtnetlink.open_socket) as host,
        lab.threads.call(args.netns, rtnetlink.open_socket) as inside,
    ):
        with IPRoute(fileno=os.dup(host.fileno())) as oracle:
            (port,) = oracle.get_links(ifname=A)
            (master,) = oracle.get_links(ifname="lab0")
            (gateway,) = oracle.get_addr(index=master["index"], family=2)
        with IPRoute(fileno=os.dup(inside.fileno())) as oracle:
            (eth0,) = oracle.get_links(ifname="eth0")
            (address,) = oracle.get_addr(index=eth0["index"], family=2)
            (route,) = oracle.get_default_routes(family=2)

    assert port.get("master") == master["index"]
    assert port.get_nested(*HAIRPIN) == 1
    assert port.get("ifalias") == "lab a eth0"
    assert port["state"] == master["state"] == eth0["state"] == "up"
    assert [link.get("mtu") for link in (master, port, eth0)] == [1400] * 3
    assert [one.mtu for one in result.interfaces] == [1400] * 3
    assert master.get("address") == result.interfaces[0].mac
    assert eth0.get("address") == result.interfaces[2].mac == "02:68:0a:d2:00:02"
    assert (gateway.get("address"), gateway["prefixlen"]) == ("10.210.0.1", 24)
    assert (address.get("address"), address["prefixlen"]) == ("10.210.0.2", 24)
    assert address.get("broadcast") == "10.210.0.255"
    assert route.get("gateway") == "10.210.0.1"


def test_an_address_is_back_at_once_and_the_pair_goes_by_itself_when_the_namespace_goes_first(
    lab: Lab,
) -> None:
    args, _ = lab.attach("a")

    lab.delete(args)

    assert lab.leases() == []
    netlab.wait_gone(lab, A)


@pytest.mark.parametrize("netns_path", [None, "gone", "file"])
def test_delete_without_a_namespace_gives_the_address_back(
    lab: Lab, netns_path: str | None
) -> None:
    args, _ = lab.attach("a")
    assert args.netns is not None
    netns.remove(args.netns)
    path = None if netns_path is None else args.netns
    if netns_path == "file":
        args.netns.touch()

    for _ in range(2):
        lab.on_host(bridge.delete, lab.conf(), dataclasses.replace(args, netns=path), lab.context)

    assert lab.leases() == []


def test_delete_is_fine_when_the_interface_is_gone(lab: Lab) -> None:
    args, _ = lab.attach("a")
    lab.ip(args.netns, "link del eth0")

    lab.on_host(bridge.delete, lab.conf(), args, lab.context)

    assert lab.leases() == []


def test_add_takes_over_what_an_interrupted_add_left(lab: Lab) -> None:
    args, first = lab.attach("a")

    second = lab.on_host(bridge.add, lab.conf(), args, lab.context)

    assert second.ips == first.ips
    lab.check(args, second)


def test_add_after_delete_does_not_wait_for_the_kernel_to_reap_the_old_pair(lab: Lab) -> None:
    for _ in range(5):
        args, _ = lab.attach("a")
        lab.delete(args)

    netlab.wait_gone(lab, A)


def test_a_datagram_sent_right_after_add_is_not_delayed(lab: Lab) -> None:
    # Lost in the moment before the port forwards, its ARP request would be repeated after 1 s.
    for name in "abcdefgh":
        args, _ = lab.attach(name)
        assert args.netns is not None
        with lab.listen(lab.host, Protocol.UDP, 7000) as listener:
            listener.settimeout(netlab.PROMPT_S)
            lab.talk(args.netns, (GATEWAY, 7000), listener)


def test_detach_deletes_the_pair_of_a_leaked_namespace(lab: Lab) -> None:
    args, _ = lab.attach("a")
    with lab.threads.call(args.netns, rtnetlink.open_socket):
        lab.delete(args)
        assert A in netlab.host_names(lab)

        lab.on_host(bridge.detach, lab.conf(), args, lab.context)
        lab.on_host(bridge.detach, lab.conf(), args, lab.context)

        assert A not in netlab.host_names(lab)


def test_delete_takes_the_pair_that_the_reference_plugin_made(lab: Lab) -> None:
    args, result = lab.attach("a")
    lab.ip(None, f"link set {A} down")
    lab.ip(None, f"link set {A} name veth5eed5eed")
    bridge_end, outer, inner = result.interfaces
    renamed = (bridge_end, dataclasses.replace(outer, name="veth5eed5eed"), inner)
    prev = dataclasses.replace(result, interfaces=(*renamed, Interface("lo")))

    lab.on_host(bridge.delete, lab.conf(), dataclasses.replace(args, prev=prev), lab.context)

    assert "veth5eed5eed" not in netlab.host_names(lab)


def test_a_failed_add_leaves_nothing_and_takes_nothing(lab: Lab) -> None:
    lab.attach("other")
    args, _ = lab.attach("a", lab.conf(name="first", bridge="first0", ipam={}))
    before = netlab.host_names(lab)
    crooked = dataclasses.replace(args, container_id="b")  # eth0 is there already

    with pytest.raises(CNIError) as caught:
        lab.on_host(bridge.add, lab.conf(), crooked, lab.context)

    assert caught.value.code == Code.IO_FAILURE
    assert netlab.host_names(lab) == before
    assert lab.leases() == ["10.210.0.2"]


def test_add_refuses_a_missing_namespace_and_the_hosts_own(lab: Lab) -> None:
    own = dataclasses.replace(lab.args("a"), netns=lab.host)
    for args in (lab.args("a"), own, dataclasses.replace(own, netns=None)):
        with pytest.raises(CNIError) as caught:
            lab.on_host(bridge.add, lab.conf(), args, lab.context)
        assert caught.value.code == Code.INVALID_NAMESPACE
    assert "lab0" not in netlab.host_names(lab)


def test_the_bridge_keeps_its_mac_when_ports_come_and_go(lab: Lab) -> None:
    macs = set()
    for name in "abc":
        args, result = lab.attach(name)
        macs.add(result.interfaces[0].mac)
        lab.on_host(bridge.delete, lab.conf(), args, lab.context)

    assert len(macs) == 1
    assert macs.pop() in lab.ip(None, "link show lab0")


@pytest.mark.parametrize("half", ["addr flush dev lab0", "link set lab0 down"])
def test_add_finishes_a_half_made_bridge(lab: Lab, half: str) -> None:
    lab.attach("a")
    lab.ip(None, half)

    args, result = lab.attach("b")

    lab.check(args, result)


def test_add_refuses_a_bridge_of_another_subnet_unless_forced(lab: Lab) -> None:
    lab.attach("a")
    other = {"type": "static", "addresses": [{"address": "10.211.0.5/24"}]}

    with pytest.raises(CNIError, match=r"has the address 10\.210\.0\.1/24") as caught:
        lab.attach("b", lab.conf(ipam=other))
    assert caught.value.code == Code.INVALID_CONFIG

    lab.attach("b", lab.conf(ipam=other, forceAddress=True))
    found = lab.ip(None, "-4 addr show lab0")
    assert "10.211.0.1/24" in found
    assert "10.210.0.1/24" not in found


def test_add_refuses_a_link_that_is_no_bridge(lab: Lab) -> None:
    with pytest.raises(CNIError, match="not a bridge"):
        lab.attach("a", lab.conf(bridge="wan"))


def test_the_host_forwards_for_a_gateway_only(lab: Lab) -> None:
    lab.on_host(sysctl.ensure, "ipv4/ip_forward", "0")  # new namespaces have the real host's

    lab.attach("a", lab.conf(isDefaultGateway=False, ipMasq=False))
    assert lab.on_host(sysctl.read, "ipv4/ip_forward") == "0"
    assert "inet" not in lab.ip(None, "-4 addr show lab0")

    lab.attach("b")
    assert lab.on_host(sysctl.read, "ipv4/ip_forward") == "1"
    assert lab.on_host(sysctl.read, "ipv4/conf/lab0/route_localnet") == "1"


def test_addresses_are_the_first_free_ones_of_the_subnet(lab: Lab) -> None:
    found = [lab.attach(name)[1].ips[0].address for name in "abc"]

    assert [str(one.ip) for one in found] == ["10.210.0.2", "10.210.0.3", "10.210.0.4"]
    assert all(one.network == SUBNET for one in found)
