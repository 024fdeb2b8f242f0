"""The bridge plugin's rarer keys, GC and STATUS on the real kernel."""

import dataclasses
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cni.bridge import plugin as bridge
from cni.errors import CNIError, Code
from cni.portmap.mappings import Protocol
from cni.spec import Attachment, host_ifname
from tests.system import netlab
from tests.system.netlab import SUBNET, SUBNET6, Lab

HOST_LOCAL = Path("/usr/lib/cni/host-local")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


def addresses(result: Any) -> list[str]:
    return [str(ip.address) for ip in result.ips]


def test_without_ipam_it_is_a_cable_to_the_bridge(lab: Lab) -> None:
    conf = lab.conf(ipam={})
    (one, result), (other, _) = lab.attach("a", conf), lab.attach("b", conf)

    assert result.ips == ()
    assert result.routes == ()
    lab.check(one, result, conf)
    assert lab.ip(one.netns, "-4 addr show eth0") == ""
    assert lab.ip(None, "-4 addr show lab0") == ""
    assert one.netns is not None
    assert other.netns is not None
    lab.ip(one.netns, "addr add 192.0.2.10/24 dev eth0")
    lab.ip(other.netns, "addr add 192.0.2.11/24 dev eth0")
    with lab.listen(other.netns, Protocol.TCP, 80) as listener:
        lab.talk(one.netns, (ip_address("192.0.2.11"), 80), listener)
    lab.delete(one, conf)


def test_an_interface_that_is_to_stay_down_does(lab: Lab) -> None:
    conf = lab.conf(ipam={}, disableContainerInterface=True)
    args, result = lab.attach("a", conf)

    assert "state DOWN" in lab.ip(args.netns, "link show eth0")
    lab.check(args, result, conf)


def test_isolated_ports_reach_the_gateway_and_not_each_other(lab: Lab) -> None:
    conf = lab.conf(portIsolation=True, hairpinMode=False)
    (one, _), (other, result) = lab.attach("a", conf), lab.attach("b", conf)
    assert one.netns is not None
    assert other.netns is not None

    with lab.listen(lab.host, Protocol.TCP, 80) as listener:
        lab.talk(one.netns, (netlab.GATEWAY, 80), listener)
    with lab.listen(other.netns, Protocol.TCP, 80) as listener, pytest.raises(TimeoutError):
        lab.talk(one.netns, (result.ips[0].address.ip, 80), listener, patience_s=0.3)
    assert "hairpin off" in lab.ip(None, f"-d link show {netlab.host_end('a')}")


def test_a_promiscuous_bridge_is_made_and_checked(lab: Lab) -> None:
    conf = lab.conf(promiscMode=True, hairpinMode=False)
    args, result = lab.attach("a", conf)
    assert "PROMISC" in lab.ip(None, "link show lab0")
    lab.check(args, result, conf)

    lab.ip(None, "link set lab0 promisc off")
    with pytest.raises(CNIError, match="not promiscuous"):
        lab.check(args, result, conf)


def test_a_mac_that_is_asked_for_is_given_and_announced(lab: Lab) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.210.0.9/24"}]}
    conf = lab.conf(ipam=ipam)
    lab.attach("other")
    for mac in ("02:00:00:00:00:0a", "02:00:00:00:00:0b"):
        args, result = lab.attach("a", conf, runtime={"mac": mac})
        assert result.interfaces[2].mac == mac
        assert args.netns is not None
        with lab.listen(args.netns, Protocol.UDP, 7000) as listener:
            # The host remembers the former MAC, unless it was told of the new one.
            lab.talk(lab.host, (ip_address("10.210.0.9"), 7000), listener)
        lab.delete(args, conf)
        netlab.wait_gone(lab, netlab.host_end("a"))


def test_routes_have_what_the_lease_says_of_them(lab: Lab) -> None:
    routes = [
        {"dst": "198.51.100.0/24", "gw": "10.210.0.77", "mtu": 1300, "advmss": 1200, "priority": 7},
        {"dst": "203.0.113.0/24", "table": 1000},
        {"dst": "192.0.2.128/25", "gw": "10.99.0.1"},
        {"dst": "233.252.0.0/24", "scope": 0},
    ]
    ipam = {"type": "static", "addresses": [{"address": "10.210.0.9/24"}], "routes": routes}
    conf = lab.conf(ipam=ipam)

    args, result = lab.attach("a", conf)

    main = lab.ip(args.netns, "route").splitlines()
    assert "198.51.100.0/24 via 10.210.0.77 dev eth0 metric 7 mtu 1300 advmss 1200 " in main
    assert "192.0.2.128/25 via 10.99.0.1 dev eth0 onlink " in main
    assert "233.252.0.0/24 via 10.210.0.1 dev eth0 " in main
    assert "203.0.113.0/24 via 10.210.0.1 dev eth0" in lab.ip(args.netns, "route show table 1000")
    lab.check(args, result, conf)


def test_a_default_gateway_outside_the_prefix_is_reached_over_the_link(lab: Lab) -> None:
    ipam = {
        "type": "static",
        "addresses": [{"address": "10.99.0.9/32", "gateway": "10.210.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    args, _ = lab.attach("a", lab.conf(ipam=ipam))

    assert "default via 10.210.0.1 dev eth0 onlink" in lab.ip(args.netns, "route")


def test_instance_metadata_is_out_of_reach_when_blocked(lab: Lab) -> None:
    conf = lab.conf(SUBNET, SUBNET6, blockInstanceMetadata=True)
    args, result = lab.attach("a", conf)

    for address in ("169.254.169.254", "fd00:ec2::254"):
        dial = partial(netlab.connected, Protocol.TCP, (ip_address(address), 80))
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):  # a blackhole's
            lab.threads.call(args.netns, dial)
    again = lab.on_host(bridge.add, conf, args, lab.context)
    lab.check(args, again, conf)

    lab.ip(args.netns, "route del blackhole 169.254.169.254")
    with pytest.raises(CNIError, match="metadata is not blocked"):
        lab.check(args, result, conf)


def test_a_set_of_two_subnets_has_both_gateways_on_the_bridge(lab: Lab) -> None:
    ranges = [[{"subnet": "10.210.0.0/30"}, {"subnet": "10.211.0.0/24"}]]
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(lab.root / "leases")}
    conf = lab.conf(ipam=ipam)

    results = [lab.attach(name, conf)[1] for name in "ab"]

    assert [addresses(each) for each in results] == [["10.210.0.2/30"], ["10.211.0.2/24"]]
    shown = lab.ip(None, "-4 addr show lab0")
    assert "10.210.0.1/30" in shown
    assert "10.211.0.1/24" in shown


def test_masquerading_hides_containers_from_the_outside_and_its_absence_does_not(lab: Lab) -> None:
    lab.ip(lab.outside, "route add 10.210.0.0/24 via 192.0.2.1")
    plain = lab.conf(ipMasq=False)
    for port, conf, seen in ((80, lab.conf(), "192.0.2.1"), (81, plain, "10.210.0.3")):
        args, _ = lab.attach(f"a{port}", conf)
        assert args.netns is not None
        with lab.listen(lab.outside, Protocol.TCP, port) as listener:
            assert lab.talk(args.netns, (netlab.OUTSIDE.ip, port), listener) == seen


def test_add_makes_the_firewall_anew_after_somebody_flushed_it(lab: Lab) -> None:
    lab.attach("a")
    nft = partial(subprocess.run, ["nft", "flush", "ruleset"], check=True, timeout=10)
    lab.on_host(nft)

    args, _ = lab.attach("b")

    assert args.netns is not None
    with lab.listen(lab.outside, Protocol.TCP, 80) as listener:
        assert lab.talk(args.netns, (netlab.OUTSIDE.ip, 80), listener) == "192.0.2.1"


def test_gc_removes_this_networks_orphans_only(lab: Lab) -> None:
    other = lab.conf(name="other", ipam={})
    former = lab.conf(vethPrefix="old")
    for name, conf in (("a", lab.conf()), ("b", lab.conf()), ("c", other), ("d", former)):
        lab.attach(name, conf)
    lab.ip(None, "link add veth0000foreign type veth peer name peer0")
    lab.ip(None, "link set veth0000foreign master lab0")

    valid = [Attachment("b", "eth0"), Attachment("d", "eth0")]
    lab.on_host(bridge.gc, lab.conf(), valid, lab.context)

    left = {name for name in netlab.host_names(lab) if name.startswith(("veth", "old"))}
    old = host_ifname("old", valid[1])
    assert left == {netlab.host_end("b"), netlab.host_end("c"), "veth0000foreign", old}
    assert lab.leases() == ["10.210.0.3", "10.210.0.4"]
    lab.on_host(bridge.gc, lab.conf(bridge="absent"), [], lab.context)
    assert lab.leases() == []


def test_status_tells_whether_add_could_succeed(lab: Lab) -> None:
    ipam = {"type": "host-local", "subnet": "10.210.0.0/30", "dataDir": str(lab.root / "leases")}
    conf = lab.conf(ipam=ipam)
    lab.on_host(bridge.status, conf, lab.context)
    args, _ = lab.attach("a", conf)
    with pytest.raises(CNIError, match="in use") as caught:
        lab.on_host(bridge.status, conf, lab.context)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
    lab.delete(args, conf)
    lab.on_host(bridge.status, conf, lab.context)

    with pytest.raises(CNIError, match="wan is not a bridge") as caught:
        lab.on_host(bridge.status, lab.conf(bridge="wan"), lab.context)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE


def test_resolver_settings_come_with_the_result(lab: Lab) -> None:
    _, result = lab.attach("a", lab.conf(dns={"nameservers": ["192.0.2.53"]}))

    assert result.dns.nameservers == ("192.0.2.53",)


def test_host_local_of_others_and_ours_see_each_others_leases(lab: Lab) -> None:
    ipam = {"type": "host-local", "subnet": "10.210.0.0/29", "dataDir": str(lab.root / "leases")}
    conf = lab.conf(ipam=ipam)
    reference = partial(host_local, lab, ipam)
    lab.attach("a", conf)

    assert '"10.210.0.3/29"' in reference("ADD", "theirs")
    _, result = lab.attach("b", conf)
    assert addresses(result) == ["10.210.0.4/29"]
    reference("DEL", "a")
    assert lab.leases() == ["10.210.0.3", "10.210.0.4"]
    lab.delete(dataclasses.replace(lab.args("theirs"), netns=None), conf)
    assert lab.leases() == ["10.210.0.4"]
    lab.delete(lab.args("a"), conf)
    for name in "cdef":
        lab.attach(name, conf)
    with pytest.raises(CNIError, match="in use"):
        lab.attach("g", conf)
    assert lab.leases() == [f"10.210.0.{host}" for host in range(2, 7)]


def host_local(lab: Lab, ipam: dict[str, Any], verb: str, container_id: str) -> str:
    """Run Debian's plugin; what it printed."""
    conf = json.dumps({"cniVersion": "1.0.0", "name": "lab", "type": "x", "ipam": ipam})
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": "/unused",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(HOST_LOCAL.parent),
    }
    run = partial(subprocess.run, [HOST_LOCAL], input=conf, env=environ, capture_output=True)
    finished = run(text=True, check=False)
    assert finished.returncode == 0, finished.stdout
    return "".join(finished.stdout.split())


def test_foreign_ipam_is_run_as_an_executable(lab: Lab, tmp_path: Path) -> None:
    # The reference plugin by another name, so that ours doesn't take its place.
    (tmp_path / "foreign-ipam").symlink_to(HOST_LOCAL)
    ipam = {"type": "foreign-ipam", "subnet": "10.210.0.0/29", "dataDir": str(lab.root / "leases")}
    conf = lab.conf(ipam=ipam, cniVersion="1.0.0")
    args, result = lab.attach("a", conf, path=(tmp_path,))

    assert addresses(result) == ["10.210.0.2/29"]
    lab.check(args, result, conf)
    lab.delete(args, conf)
    assert lab.leases() == []
