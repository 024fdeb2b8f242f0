"""The plugin hostler-awsvpc on the real kernel: what a task is given, and traffic."""

import dataclasses
import json
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from cni.awsvpc import plugin as awsvpc
from cni.awsvpc.plugin import AwsvpcConf
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.kernel import loopback, rtnetlink
from cni.kernel.loopback import METADATA_ADDRESS
from cni.spec import DNS, Args, Result
from tests.system import vpclab
from tests.system.vpclab import GATEWAY, GATEWAY6, IMDS, IMDS6, Host, Vpc

MAC = "02:aa:00:00:00:01"
ADDRESS, ADDRESS6 = "10.0.1.7", "2001:db8:1::7"
ENI: dict[str, Any] = {
    "eniMACAddress": MAC,
    "eniIPAddresses": [f"{ADDRESS}/24", f"{ADDRESS6}/64"],
    "gatewayIPAddresses": [GATEWAY, GATEWAY6],
}


@pytest.fixture
def vpc(tmp_path: Path) -> Iterator[Vpc]:
    """A host with two NICs."""
    with vpclab.vpc(tmp_path) as built:
        built.plug(built.host, "eth0", "02:aa:00:00:00:00")
        built.plug(built.host, "eth1", MAC)
        yield built


def network(**keys: Any) -> AwsvpcConf:
    return awsvpc.parse(Fields({"name": "vpc", **keys}))


def macvlan(number: int, **keys: Any) -> dict[str, Any]:
    return {
        "interfaceType": "macvlan",
        "master": "eth0",
        "eniIPAddresses": [f"10.0.1.{number}/24", f"2001:db8:1::{number}/64"],
        "gatewayIPAddresses": [GATEWAY, GATEWAY6],
        **keys,
    }


def add(host: Host, args: Args, **keys: Any) -> Result:
    return host.call(awsvpc.add, network(**keys), args, host.context)


def check(host: Host, args: Args, result: Result) -> None:
    host.call(awsvpc.check, network(), dataclasses.replace(args, prev=result), host.context)


def delete(host: Host, args: Args) -> None:
    host.call(awsvpc.delete, network(), args, host.context)


def refused(host: Host, args: Args, **keys: Any) -> CNIError:
    """The error of an ADD that must fail."""
    with pytest.raises(CNIError) as caught:
        add(host, args, **keys)
    return caught.value


def inside(args: Args) -> Path:
    assert args.netns is not None
    return args.netns


def names(vpc: Vpc, at: Path) -> set[str]:
    return {link["ifname"] for link in json.loads(vpc.ip(at, "-j", "link"))}


def test_the_result_tells_what_the_task_was_given(vpc: Vpc) -> None:
    args = vpc.task("a", {**ENI, "dns": {"nameservers": ["10.0.0.2"], "search": ["a.test"]}})

    result = add(vpc.host, args)

    (interface,) = result.interfaces
    assert (interface.name, interface.mac, interface.mtu) == ("eth0", MAC, 1500)
    assert interface.sandbox == str(args.netns)
    assert [(str(ip.address), str(ip.gateway), ip.interface) for ip in result.ips] == [
        (f"{ADDRESS}/24", GATEWAY, 0),
        (f"{ADDRESS6}/64", GATEWAY6, 0),
    ]
    found = [(str(route.dst), str(route.gw)) for route in result.routes]
    assert found == [("0.0.0.0/0", GATEWAY), ("::/0", GATEWAY6)]
    assert result.dns == DNS(("10.0.0.2",), "", ("a.test",))


def test_a_search_list_without_name_servers_is_told_too(vpc: Vpc) -> None:
    args = vpc.task("a", {**ENI, "dns": {"search": ["a.test"]}})
    assert add(vpc.host, args).dns == DNS(search=("a.test",))


@pytest.mark.parametrize("eni", [ENI, macvlan(7)], ids=["nic", "macvlan"])
def test_another_netlink_library_sees_the_same(vpc: Vpc, eni: dict[str, Any]) -> None:
    args = vpc.task("a", eni)
    result = add(vpc.host, args)
    at = inside(args)

    (eth0,) = vpc.oracle(at, lambda oracle: oracle.get_links(ifname="eth0"))
    addresses = vpc.oracle(at, lambda oracle: oracle.get_addr(index=eth0["index"]))
    routes = vpc.oracle(at, lambda oracle: oracle.get_routes(table=254))

    assert (eth0["state"], eth0.get("address")) == ("up", result.interfaces[0].mac)
    found = {(one.get("address"), one["prefixlen"]) for one in addresses}
    assert {(ADDRESS, 24), (ADDRESS6, 64)} <= found
    gateways = {one.get("gateway") for one in routes if one["dst_len"] == 0}
    assert gateways == {GATEWAY, GATEWAY6}
    blackholes = {one.get("dst") for one in routes if one["type"] == 6}
    assert blackholes == {IMDS, IMDS6}


@pytest.mark.parametrize("eni", [ENI, macvlan(7)], ids=["nic", "macvlan"])
def test_a_task_reaches_the_gateway_in_both_families(vpc: Vpc, eni: dict[str, Any]) -> None:
    args = vpc.task("a", eni)
    with (
        vpc.listen(vpc.gateway, GATEWAY, 80) as one,
        vpc.listen(vpc.gateway, GATEWAY6, 80) as other,
    ):
        add(vpc.host, args)

        assert vpc.talk(inside(args), GATEWAY, one) == ADDRESS
        assert vpc.talk(inside(args), GATEWAY6, other) == ADDRESS6


def test_tasks_reach_each_other_on_one_host_and_between_hosts(vpc: Vpc) -> None:
    far = vpc.add_host("far")
    vpc.plug(far, "eth0", "02:bb:00:00:00:00")
    first, second = vpc.task("a", macvlan(11)), vpc.task("b", macvlan(12))
    third, fourth = vpc.task("c", macvlan(13)), vpc.task("d", ENI)
    for host, args in [(vpc.host, first), (vpc.host, second), (far, third), (vpc.host, fourth)]:
        add(host, args)

    for server, number in [(second, "12"), (third, "13"), (fourth, "7")]:
        for address in (f"10.0.1.{number}", f"2001:db8:1::{number}"):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with vpc.listen(inside(server), address, 80, kind) as listener:
                    vpc.talk(inside(first), address, listener)


def test_instance_metadata_is_blocked_unless_it_is_asked_for(vpc: Vpc) -> None:
    blocked = vpc.task("a", macvlan(11))
    free = vpc.task("b", macvlan(12, blockInstanceMetadata=False))
    add(vpc.host, blocked)
    add(vpc.host, free)

    for address in (IMDS, IMDS6):
        with vpc.listen(vpc.gateway, address, 80) as listener:
            vpc.talk(inside(free), address, listener)
            assert not vpc.reaches(inside(blocked), address, listener)


def test_the_tasks_own_metadata_is_untouched(vpc: Vpc) -> None:
    args = vpc.task("a", ENI)
    listen = partial(loopback.listen, METADATA_ADDRESS, 80)
    with vpc.threads.call(inside(args), listen) as listener:
        add(vpc.host, args)

        vpc.talk(inside(args), str(METADATA_ADDRESS), listener)
        delete(vpc.host, args)
        vpc.talk(inside(args), str(METADATA_ADDRESS), listener)


def test_a_gateway_may_be_outside_of_the_prefix_or_link_local(vpc: Vpc) -> None:
    vpc.ip(vpc.gateway, "addr", "add", "fe80::1/64", "dev", "vpc0", "nodad")
    vpc.ip(vpc.gateway, "route", "add", "10.9.9.9/32", "dev", "vpc0")
    addresses = ["10.9.9.9/32", f"{ADDRESS6}/64"]
    args = vpc.task("a", {**ENI, "eniIPAddresses": addresses, "gatewayIPAddresses": [GATEWAY]})
    add(vpc.host, args)
    with vpc.listen(vpc.gateway, GATEWAY, 80) as listener:
        assert vpc.talk(inside(args), GATEWAY, listener) == "10.9.9.9"
    delete(vpc.host, args)

    both = {**ENI, "gatewayIPAddresses": ["10.0.1.1/24", "fe80::1"]}
    args = dataclasses.replace(args, runtime={"eni": both})
    add(vpc.host, args)
    with vpc.listen(vpc.gateway, IMDS6, 80) as listener:
        assert not vpc.reaches(inside(args), IMDS6, listener)
    vpc.ip(vpc.gateway, "addr", "add", "2001:db8:2::1/128", "dev", "lo", "nodad")
    with vpc.listen(vpc.gateway, "2001:db8:2::1", 80) as listener:
        assert vpc.talk(inside(args), "2001:db8:2::1", listener) == ADDRESS6


def test_neighbours_that_remember_a_former_owner_are_told_at_once(vpc: Vpc) -> None:
    for name in ("a", "b"):  # different MACs, the same addresses
        args = vpc.task(name, macvlan(11))
        add(vpc.host, args)
        for address in ("10.0.1.11", "2001:db8:1::11"):
            with vpc.listen(inside(args), address, 80) as listener:
                vpc.talk(vpc.gateway, address, listener)
        delete(vpc.host, args)


def test_the_configuration_is_what_tasks_have_in_common_and_the_call_beats_it(vpc: Vpc) -> None:
    common = {"interfaceType": "macvlan", "master": "eth0", "mtu": 1400, "mode": "private"}
    args = vpc.task("a", {"eniIPAddresses": ["10.0.1.11/24"], "mtu": 1300})

    result = add(vpc.host, args, **common)

    assert result.interfaces[0].mtu == 1300
    shown = json.loads(vpc.ip(inside(args), "-j", "-d", "link", "show", "eth0"))
    assert shown[0]["linkinfo"]["info_kind"] == "macvlan"
    assert shown[0]["linkinfo"]["info_data"]["mode"] == "private"


def test_addresses_are_leased_where_none_are_stated(vpc: Vpc) -> None:
    subnet = {"subnet": "10.0.1.0/24", "rangeStart": "10.0.1.100", "rangeEnd": "10.0.1.101"}
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "10.5.0.0/16", "gw": "10.0.1.1"}]
    leases = vpc.root / "leases"
    ipam = {"type": "host-local", "ranges": [[subnet]], "routes": routes, "dataDir": str(leases)}
    common = {"interfaceType": "macvlan", "master": "eth0", "ipam": ipam}
    conf = network(**common)
    first, second, third = (vpc.task(name) for name in "abc")

    found = [add(vpc.host, args, **common).ips for args in (first, second)]
    assert [str(ips[0].address) for ips in found] == ["10.0.1.100/24", "10.0.1.101/24"]
    with vpc.listen(vpc.gateway, GATEWAY, 80) as listener:
        vpc.talk(inside(first), GATEWAY, listener)
    assert "10.5.0.0/16 via 10.0.1.1" in vpc.ip(inside(first), "route")
    assert refused(vpc.host, third, **common).code == Code.TRY_AGAIN_LATER

    vpc.host.call(awsvpc.delete, conf, first, vpc.host.context)
    assert str(add(vpc.host, third, **common).ips[0].address) == "10.0.1.100/24"
    vpc.host.call(awsvpc.gc, conf, [third.attachment], vpc.host.context)
    assert {path.name for path in leases.rglob("10.0.1.*")} == {"10.0.1.100"}
    vpc.host.call(awsvpc.status, conf, vpc.host.context)


def test_a_child_has_the_mac_it_was_given_else_always_the_same_one(vpc: Vpc) -> None:
    args = vpc.task("a", macvlan(11))
    first = add(vpc.host, args).interfaces[0].mac
    delete(vpc.host, args)
    assert add(vpc.host, args).interfaces[0].mac == first
    assert int(first[:2], 16) & 3 == 2  # locally administered, of one interface

    other = vpc.task("b", macvlan(12, branchMACAddress="02:CC:00:00:00:01"))
    assert add(vpc.host, other).interfaces[0].mac == "02:cc:00:00:00:01"


def test_a_child_brings_its_parent_up(vpc: Vpc) -> None:
    assert "UP" not in vpc.host.link("eth0")["flags"]

    add(vpc.host, vpc.task("a", macvlan(11)))

    assert "UP" in vpc.host.link("eth0")["flags"]


@pytest.mark.parametrize("eni", [ENI, macvlan(7)], ids=["nic", "macvlan"])
def test_add_check_delete_delete_leaves_nothing(vpc: Vpc, eni: dict[str, Any]) -> None:
    args = vpc.task("a", eni)
    before = names(vpc, vpc.host.path)

    result = add(vpc.host, args)
    check(vpc.host, args, result)
    delete(vpc.host, args)
    delete(vpc.host, args)

    assert names(vpc, inside(args)) == {"lo"}
    assert names(vpc, vpc.host.path) == before
    assert not list(vpc.host.state.rglob("*.json"))


def test_delete_of_what_never_was_is_fine(vpc: Vpc) -> None:
    args = vpc.task("a", ENI)
    for path in (args.netns, vpc.root / "netns" / "gone", None):
        delete(vpc.host, dataclasses.replace(args, netns=path, runtime={}))


@pytest.mark.parametrize("eni", [ENI, macvlan(7)], ids=["nic", "macvlan"])
def test_add_may_be_repeated(vpc: Vpc, eni: dict[str, Any]) -> None:
    args = vpc.task("a", eni)
    first = add(vpc.host, args)

    assert add(vpc.host, args) == first
    check(vpc.host, args, first)


@pytest.mark.parametrize(
    "damage",
    [
        "link set eth0 down",
        f"addr del {ADDRESS}/24 dev eth0",
        f"addr del {ADDRESS6}/64 dev eth0",
        "route del default",
        "-6 route del default",
        f"route del blackhole {IMDS}",
        "link set eth0 address 02:00:00:00:00:99",
    ],
)
def test_check_finds_damage(vpc: Vpc, damage: str) -> None:
    args = vpc.task("a", ENI)
    result = add(vpc.host, args)
    vpc.ip(inside(args), damage)

    with pytest.raises(CNIError) as caught:
        check(vpc.host, args, result)
    assert caught.value.code == Code.CHECK_FAILED


def test_a_mac_that_is_not_there_is_named_with_those_that_are(vpc: Vpc) -> None:
    error = refused(vpc.host, vpc.task("a", {**ENI, "eniMACAddress": "02:aa:00:00:00:99"}))

    assert error.code == Code.TRY_AGAIN_LATER
    assert "02:aa:00:00:00:99" in error.msg
    assert f"eth1 ({MAC})" in error.details


def test_a_nic_that_is_lent_is_said_to_be(vpc: Vpc) -> None:
    add(vpc.host, vpc.task("a", ENI))

    error = refused(vpc.host, vpc.task("b", {**ENI, "eniIPAddresses": ["10.0.1.8/24"]}))

    assert error.code == Code.TRY_AGAIN_LATER
    assert error.details == "it is lent to container a"


def test_an_mtu_larger_than_the_parents_is_refused(vpc: Vpc) -> None:
    error = refused(vpc.host, vpc.task("a", macvlan(11, mtu=9001)))

    assert error.code == Code.INVALID_CONFIG
    assert error.msg == "MTU 9001 is larger than that of eth0, 1500"


def test_a_kind_of_interface_that_the_kernel_lacks_names_the_module(
    vpc: Vpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a kernel without 8021q says to `vlan`, each says to a kind that nobody has.
    monkeypatch.setattr(
        rtnetlink, "new_vlan", lambda child, _: rtnetlink._new_child("no", child, b"")
    )
    branch = {"interfaceType": "vlan", "trunkName": "eth1", "branchVlanID": 100}

    error = refused(vpc.host, vpc.task("a", {**ENI, "eniMACAddress": "", **branch}))

    assert error.msg == "vlan interfaces are not supported by this kernel"
    assert error.details == "load its module 8021q"


@pytest.mark.parametrize("eni", [ENI, macvlan(7)], ids=["nic", "macvlan"])
def test_a_name_that_is_taken_is_told_and_nothing_is_left(vpc: Vpc, eni: dict[str, Any]) -> None:
    args = vpc.task("a", eni)
    vpc.ip(inside(args), "link", "add", "eth0", "type", "bridge")

    error = refused(vpc.host, args)

    assert error.code == Code.INVALID_ENVIRONMENT
    assert "an interface eth0 already" in error.msg
    assert names(vpc, inside(args)) == {"lo", "eth0"}
    assert {"eth0", "eth1"} <= names(vpc, vpc.host.path)


def test_an_address_of_the_host_is_refused_unless_it_is_the_nics_own(vpc: Vpc) -> None:
    vpc.host.ip("addr", "add", f"{ADDRESS}/24", "dev", "eth0")
    error = refused(vpc.host, vpc.task("a", ENI))
    assert error.code == Code.INVALID_CONFIG
    assert (error.msg, error.details) == (f"address {ADDRESS} is in use on the host", "eth0 has it")
    assert refused(vpc.host, vpc.task("b", macvlan(7))).code == Code.INVALID_CONFIG

    vpc.host.ip("addr", "flush", "dev", "eth0")
    vpc.host.ip("addr", "add", f"{ADDRESS}/24", "dev", "eth1")
    add(vpc.host, vpc.task("a", ENI))


def test_a_port_of_a_bridge_is_not_taken_away_from_it(vpc: Vpc) -> None:
    vpc.host.ip("link", "add", "br0", "type", "bridge")
    vpc.host.ip("link", "set", "eth1", "master", "br0")

    error = refused(vpc.host, vpc.task("a", ENI))

    assert error.code == Code.INVALID_CONFIG
    assert error.msg == "eth1 belongs to br0 of the host"


def test_a_child_with_the_nics_mac_is_not_taken_for_it(vpc: Vpc) -> None:
    vpc.host.ip(f"link add link eth1 name a0 address {MAC} type macvlan mode passthru")

    result = add(vpc.host, vpc.task("a", ENI))

    assert result.interfaces[0].mac == MAC
    assert "a0" in names(vpc, vpc.host.path)


def test_a_failure_inside_gives_the_nic_back(vpc: Vpc) -> None:
    vpc.host.ip("addr", "add", "10.0.1.9/24", "dev", "eth1")
    args = vpc.task("a", {**ENI, "mtu": 60})

    error = refused(vpc.host, args)

    assert error.code == Code.IO_FAILURE
    assert error.msg == "cannot attach the network interface"
    assert "set MTU 60" in error.details
    assert names(vpc, inside(args)) == {"lo"}
    given_back = vpc.host.link("eth1")
    assert given_back["mtu"] == 1500
    assert [one["local"] for one in given_back["addr_info"]] == ["10.0.1.9"]


@pytest.mark.parametrize(
    ("eni", "missing"),
    [
        ({"eniIPAddresses": ["10.0.1.7/24"]}, "eniMACAddress or eniName"),
        ({"eniMACAddress": MAC}, "eniIPAddresses"),
        ({**ENI, "interfaceType": "vlan"}, "trunkMACAddress or trunkName"),
        ({**ENI, "interfaceType": "vlan", "trunkName": "eth0"}, "branchVlanID"),
        ({**ENI, "interfaceType": "macvlan"}, "master"),
    ],
)
def test_what_is_not_said_is_named(vpc: Vpc, eni: dict[str, Any], missing: str) -> None:
    error = refused(vpc.host, vpc.task("a", eni))

    assert (error.code, error.msg) == (Code.INVALID_CONFIG, f"{missing} is missing")


def test_add_refuses_a_missing_namespace_and_the_hosts_own(vpc: Vpc) -> None:
    args = vpc.task("a", ENI)
    for path in (vpc.host.path, vpc.root / "gone", None):
        error = refused(vpc.host, dataclasses.replace(args, netns=path))
        assert error.code == Code.INVALID_NAMESPACE


def test_status_says_whether_there_is_a_parent(vpc: Vpc) -> None:
    def status(**keys: Any) -> None:
        vpc.host.call(awsvpc.status, network(**keys), vpc.host.context)

    status()
    status(interfaceType="macvlan", master="eth0")
    status(interfaceType="vlan", trunkMACAddress=MAC)
    for keys in (
        {"interfaceType": "macvlan", "master": "eth9"},
        {"interfaceType": "vlan", "trunkName": "eth9"},
    ):
        with pytest.raises(CNIError, match="no network interface with name eth9") as caught:
            status(**keys)
        assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE


@pytest.fixture
def trunk(vpc: Vpc) -> Vpc:
    """The VPC, with branches of tag 100 at the gateway."""
    command = "link add link vpc0 name vpc0.100 type vlan id 100"
    try:
        vpc.ip(vpc.gateway, command)
    except AssertionError as error:
        if "Unknown device type" not in str(error) and "not supported" not in str(error):
            raise
        pytest.skip("the kernel lacks 8021q; that of the virtual machine has it")
    for words in ("addr flush dev vpc0", "link set vpc0.100 up"):
        vpc.ip(vpc.gateway, words)
    vpc.ip(vpc.gateway, "addr", "add", f"{GATEWAY}/24", "dev", "vpc0.100")
    vpc.ip(vpc.gateway, "addr", "add", f"{GATEWAY6}/64", "dev", "vpc0.100", "nodad")
    return vpc


@pytest.mark.parametrize("trunk_key", [{"trunkName": "eth1"}, {"trunkMACAddress": MAC}])
def test_a_branch_of_a_trunk_reaches_the_gateway_by_its_tag(
    trunk: Vpc, trunk_key: dict[str, str]
) -> None:
    branch = {"branchVlanID": "100", "branchMACAddress": "02:dd:00:00:00:01", **trunk_key}
    common = {**ENI, "eniMACAddress": "", "interfaceType": "vlan"}
    args = trunk.task("a", {**common, **branch})

    result = add(trunk.host, args)

    check(trunk.host, args, result)
    assert result.interfaces[0].mac == "02:dd:00:00:00:01"
    assert result.ips[0].address == ip_interface(f"{ADDRESS}/24")
    assert "UP" in trunk.host.link("eth1")["flags"]
    for address, peer in ((GATEWAY, ADDRESS), (GATEWAY6, ADDRESS6)):
        with trunk.listen(trunk.gateway, address, 80) as listener:
            assert trunk.talk(inside(args), address, listener) == peer
    wrong = trunk.task(
        "b", {**common, **branch, "branchVlanID": 101, "eniIPAddresses": ["10.0.1.8/24"]}
    )
    add(trunk.host, wrong)
    with trunk.listen(trunk.gateway, GATEWAY, 80) as listener:
        assert not trunk.reaches(inside(wrong), GATEWAY, listener)

    large = refused(
        trunk.host, trunk.task("c", {**common, **branch, "branchVlanID": 102, "mtu": 9001})
    )
    assert large.msg == "MTU 9001 is larger than that of eth1, 1500"
    delete(trunk.host, args)
    delete(trunk.host, args)
    assert names(trunk, inside(args)) == {"lo"}
