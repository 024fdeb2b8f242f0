"""The bridge plugin's keys: defaults, refusals, who decides on a MAC, what a lease is given."""

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.bridge.conf import BridgeConfig, completed, mac_of, parse
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.spec import DNS, IP, Args, Result, Route

DEFAULT = ip_network("0.0.0.0/0")
DEFAULT6 = ip_network("::/0")


def conf(**keys: Any) -> BridgeConfig:
    return parse(Fields({"name": "net", **keys}))


def test_without_keys_it_is_the_reference_plugins_bridge_on_layer_2() -> None:
    assert conf() == BridgeConfig("net", "cni0")


def test_a_default_gateway_is_a_gateway() -> None:
    assert conf(isDefaultGateway=True).is_gateway
    assert not conf(isGateway=True).is_default_gateway


@pytest.mark.parametrize(
    "keys",
    [
        {"vlan": 100},
        {"vlanTrunk": [{"id": 5}]},
        {"macspoofchk": True},
        {"preserveDefaultVlan": True},
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_with_key_and_value(keys: dict[str, Any]) -> None:
    ((key, value),) = keys.items()
    with pytest.raises(CNIError, match=f"{key} is not supported") as caught:
        conf(**keys)
    assert caught.value.code == Code.UNSUPPORTED_FIELD
    assert repr(value) in str(caught.value)


def test_such_a_key_that_asks_for_nothing_is_fine() -> None:
    conf(vlan=0, vlanTrunk=[], macspoofchk=False, preserveDefaultVlan=False)
    conf(vlan=None, vlanTrunk=None)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": ""}, "network name"),
        ({"name": "a/b"}, "network name"),
        ({"bridge": "a/b"}, "interface name"),
        ({"bridge": "0123456789abcdef"}, "too long"),
        ({"hairpinMode": True, "promiscMode": True}, "promiscMode"),
        ({"disableContainerInterface": True, "ipam": {"type": "static"}}, "together with ipam"),
        ({"mtu": -1}, "mtu"),
        ({"mtu": "1500"}, "mtu"),
        ({"isGateway": "maybe"}, "isGateway"),
        ({"vethPrefix": "muchtoolong"}, "vethPrefix"),
        ({"vethPrefix": "a b"}, "interface name"),
        ({"table": "a b"}, "nftables table"),
        ({"mac": "02:00:00"}, "mac must be"),
        ({"mac": "03:00:00:00:00:01"}, "mac must be"),
        ({"args": {"cni": {"mac": "x"}}}, "args.cni.mac"),
        ({"dns": {"nameservers": "x"}}, "dns.nameservers"),
    ],
)
def test_a_wrong_key_is_named(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(CNIError, match=words) as caught:
        conf(**keys)
    assert caught.value.code == Code.INVALID_CONFIG


MACS = [f"02:00:00:00:00:0{number}" for number in range(1, 5)]


@given(st.lists(st.booleans(), min_size=4, max_size=4))
def test_the_last_who_asks_for_a_mac_gets_it(asks: list[bool]) -> None:
    said = [mac if asks else "" for mac, asks in zip(MACS, asks, strict=True)]
    bridge = conf(mac=said[0], args={"cni": {"mac": said[2]}})
    args = Args("a", None, cni_args={"MAC": said[1]}, runtime={"mac": said[3]})

    assert mac_of(bridge, args) == next((mac for mac in reversed(said) if mac), "")


def test_a_wrong_mac_of_the_caller_is_the_environments_fault() -> None:
    with pytest.raises(CNIError, match="MAC=x") as caught:
        mac_of(conf(), Args("a", None, cni_args={"MAC": "x"}))
    assert caught.value.code == Code.INVALID_ENVIRONMENT


def lease(*texts: str, routes: tuple[Route, ...] = ()) -> Result:
    return Result(ips=tuple(IP(ip_interface(text)) for text in texts), routes=routes)


def test_a_gateway_takes_the_first_address_where_the_lease_names_none() -> None:
    found = completed(conf(isGateway=True), lease("10.0.0.5/24", "fd00::5/64"))

    assert [str(ip.gateway) for ip in found.ips] == ["10.0.0.1", "fd00::1"]
    assert found.routes == ()
    assert completed(conf(), lease("10.0.0.5/24")).ips[0].gateway is None


def test_a_default_gateway_gives_each_family_a_default_route_unless_it_has_one() -> None:
    own = Route(DEFAULT, ip_address("10.0.0.77"))
    bare = completed(conf(isDefaultGateway=True), lease("10.0.0.5/24", "10.1.0.5/24", "fd00::5/64"))
    with_own = completed(conf(isDefaultGateway=True), lease("10.0.0.5/24", routes=(own,)))

    assert bare.routes == (
        Route(DEFAULT, ip_address("10.0.0.1")),
        Route(DEFAULT6, ip_address("fd00::1")),
    )
    assert with_own.routes == (own,)


def test_resolver_settings_of_the_network_come_before_those_of_the_lease() -> None:
    leased = Result(dns=DNS(("192.0.2.1",)))

    assert completed(conf(), leased).dns == leased.dns
    ours = completed(conf(dns={"nameservers": ["192.0.2.2"]}), leased)
    assert ours.dns == DNS(("192.0.2.2",))
