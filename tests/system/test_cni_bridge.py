"""The bridge plugin on the real kernel: ADD, CHECK, DEL, and what is left behind."""

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from cni import bridge, netns, rtnetlink, sysctl
from cni.errors import CNIError, Code
from cni.ipam import IPAMConfig
from cni.nft import Protocol
from tests.system import netlab
from tests.system.netlab import CONF, SUBNET, Lab

HAIRPIN = ("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_MODE")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


def leases(lab: Lab) -> list[str]:
    root = lab.root / "state" / "ipam"
    return sorted(path.name for path in root.rglob("*") if path.is_symlink())


def test_add_check_delete_delete_leaves_nothing(lab: Lab) -> None:
    before = netlab.host_names(lab)
    args, result = lab.attach("a")

    checked = dataclasses.replace(CONF, prev_result=result)
    lab.on_host(bridge.check, checked, args, lab.context)
    assert leases(lab) == ["10.210.0.2", "a@eth0"]

    lab.on_host(bridge.delete, CONF, args, lab.context)
    lab.on_host(bridge.delete, CONF, args, lab.context)
    assert args.netns is not None
    netns.remove(args.netns)
    netns.remove(args.netns)

    assert netlab.host_names(lab) == before
    assert leases(lab) == []
    assert list((lab.root / "netns").iterdir()) == []


def test_result_tells_what_was_made(lab: Lab) -> None:
    args, result = lab.attach("a")

    names = [(one.name, one.sandbox) for one in result.interfaces]
    assert names == [("lab0", ""), ("vetha", ""), ("eth0", str(args.netns))]
    assert result.ips[0].address == IPv4Interface("10.210.0.2/24")
    assert result.ips[0].gateway == result.routes[0].gw == CONF.ipam.gateway.ip
    assert result.ips[0].interface == 2


def test_another_netlink_library_sees_the_same(lab: Lab) -> None:
    args, result = lab.attach("a")
    with (
        lab.on_host(rtnetlink.open_socket) as host,
        lab.threads.call(args.netns, rtnetlink.open_socket) as inside,
    ):
        with IPRoute(fileno=os.dup(host.fileno())) as oracle:
            (port,) = oracle.get_links(ifname="vetha")
            (master,) = oracle.get_links(ifname="lab0")
        with IPRoute(fileno=os.dup(inside.fileno())) as oracle:
            (eth0,) = oracle.get_links(ifname="eth0")
            (address,) = oracle.get_addr(index=eth0["index"], family=2)
            (route,) = oracle.get_default_routes(family=2)

    assert port.get("master") == master["index"]
    assert port.get_nested(*HAIRPIN) == 1
    assert port["state"] == master["state"] == eth0["state"] == "up"
    assert master.get("address") == result.interfaces[0].mac
    assert eth0.get("address") == result.interfaces[2].mac
    assert (address.get("address"), address["prefixlen"]) == ("10.210.0.2", 24)
    assert address.get("broadcast") == "10.210.0.255"
    assert route.get("gateway") == "10.210.0.1"


def test_an_address_is_back_at_once_and_the_pair_goes_by_itself_when_the_namespace_goes_first(
    lab: Lab,
) -> None:
    args, _ = lab.attach("a")

    lab.delete(args)

    assert leases(lab) == []
    netlab.wait_gone(lab, "vetha")


def test_add_takes_over_what_an_interrupted_add_left(lab: Lab) -> None:
    args, first = lab.attach("a")

    second = lab.on_host(bridge.add, CONF, args, lab.context)

    assert second.ips == first.ips
    checked = dataclasses.replace(CONF, prev_result=second)
    lab.on_host(bridge.check, checked, args, lab.context)


def test_add_after_delete_does_not_wait_for_the_kernel_to_reap_the_old_pair(lab: Lab) -> None:
    for _ in range(5):
        args, _ = lab.attach("a")
        lab.delete(args)

    netlab.wait_gone(lab, "vetha")


def test_a_datagram_sent_right_after_add_is_not_delayed(lab: Lab) -> None:
    # Lost in the moment before the port forwards, its ARP request would be repeated after 1 s.
    for name in "abcdefgh":
        args, _ = lab.attach(name)
        assert args.netns is not None
        with lab.listen(lab.host, Protocol.UDP, 7000) as listener:
            listener.settimeout(0.5)
            lab.talk(args.netns, (CONF.ipam.gateway.ip, 7000), listener)


def test_detach_deletes_the_pair_of_a_leaked_namespace(lab: Lab) -> None:
    args, _ = lab.attach("a")
    with lab.threads.call(args.netns, rtnetlink.open_socket):
        lab.delete(args)
        assert "vetha" in netlab.host_names(lab)

        lab.on_host(bridge.detach, args, lab.context)
        lab.on_host(bridge.detach, args, lab.context)

        assert "vetha" not in netlab.host_names(lab)


def test_a_failed_add_leaves_nothing(lab: Lab) -> None:
    args = lab.args("a")
    assert args.netns is not None
    lab.on_host(lab.context.namespaces.create, args.netns)
    before = netlab.host_names(lab)
    crooked = dataclasses.replace(args, ifname="lo")  # exists in every namespace

    with pytest.raises(CNIError) as caught:
        lab.on_host(bridge.add, CONF, crooked, lab.context)

    assert caught.value.code == Code.IO_FAILURE
    assert netlab.host_names(lab) == before
    assert leases(lab) == []


def test_add_refuses_a_missing_namespace_and_the_hosts_own(lab: Lab) -> None:
    own = dataclasses.replace(lab.args("a"), netns=lab.host)
    for args in (lab.args("a"), own, dataclasses.replace(own, netns=None)):
        with pytest.raises(CNIError) as caught:
            lab.on_host(bridge.add, CONF, args, lab.context)
        assert caught.value.code == Code.INVALID_NAMESPACE


@pytest.mark.parametrize(
    "damage",
    [
        ("ip", "link", "set", "eth0", "down"),
        ("ip", "addr", "flush", "dev", "eth0"),
        ("ip", "route", "del", "default"),
        ("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"),
    ],
)
def test_check_finds_damage_inside(lab: Lab, damage: tuple[str, ...]) -> None:
    args, result = lab.attach("a")
    conf = dataclasses.replace(CONF, prev_result=result)
    run = partial(subprocess.run, damage, check=True, timeout=10)
    lab.threads.call(args.netns, run)

    with pytest.raises(CNIError) as caught:
        lab.on_host(bridge.check, conf, args, lab.context)
    assert caught.value.code == Code.CHECK_FAILED


def test_check_finds_a_port_that_left_the_bridge(lab: Lab) -> None:
    args, result = lab.attach("a")
    conf = dataclasses.replace(CONF, prev_result=result)
    unplug = ("ip", "link", "set", "vetha", "nomaster")
    lab.on_host(partial(subprocess.run, unplug, check=True, timeout=10))

    with pytest.raises(CNIError, match="no port of lab0"):
        lab.on_host(bridge.check, conf, args, lab.context)


def test_the_bridge_keeps_its_mac_when_ports_come_and_go(lab: Lab) -> None:
    before = lab.on_host(bridge.ensure, CONF, lab.context)
    args, _ = lab.attach("a")
    during = lab.on_host(bridge.ensure, CONF, lab.context)
    lab.on_host(bridge.delete, CONF, args, lab.context)

    assert before == during == lab.on_host(bridge.ensure, CONF, lab.context)


def test_ensure_finishes_a_half_made_bridge(lab: Lab) -> None:
    for half in (("addr", "flush", "dev", "lab0"), ("link", "set", "lab0", "down")):
        lab.on_host(partial(subprocess.run, ["ip", *half], check=True, timeout=10))
        link = lab.on_host(bridge.ensure, CONF, lab.context)
        found = lab.on_host(rtnetlink.get_addresses, lab.context.links, link.index)
        assert CONF.ipam.gateway in found


def test_ensure_refuses_a_bridge_of_another_subnet(lab: Lab) -> None:
    other = dataclasses.replace(CONF, ipam=IPAMConfig("lab", IPv4Network("10.211.0.0/24")))

    with pytest.raises(CNIError, match=r"has the address 10\.210\.0\.1/24") as caught:
        lab.on_host(bridge.ensure, other, lab.context)
    assert caught.value.code == Code.INVALID_CONFIG


def test_ensure_refuses_a_link_that_is_no_bridge(lab: Lab) -> None:
    other = dataclasses.replace(CONF, bridge="wan")

    with pytest.raises(CNIError, match="not a bridge"):
        lab.on_host(bridge.ensure, other, lab.context)


def test_the_host_forwards_once_the_bridge_is_there(lab: Lab) -> None:
    assert lab.on_host(sysctl.read, "ipv4/ip_forward") == "1"
    assert lab.on_host(sysctl.read, "ipv4/conf/lab0/route_localnet") == "1"


def test_addresses_are_the_first_free_ones_of_the_subnet(lab: Lab) -> None:
    found = [lab.attach(name)[1].ips[0].address for name in "abc"]

    assert [str(one.ip) for one in found] == ["10.210.0.2", "10.210.0.3", "10.210.0.4"]
    assert all(one.network == SUBNET for one in found)
