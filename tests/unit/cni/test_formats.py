"""Results and errors in the JSON form of each version, and back."""

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    ip_interface,
    ip_network,
)
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import formats
from cni.errors import CNIError, Code
from cni.spec import DNS, IP, Interface, Result, Route

versions = st.sampled_from(formats.VERSIONS)
words = st.text(max_size=12)
addresses = st.ip_addresses()
numbers = st.none() | st.integers(0, 2**31 - 1)
interfaces = st.builds(
    Interface, words, words, st.integers(0, 2**31 - 1), words, socket_path=words, pci_id=words
)
gateways = st.none() | addresses


@st.composite
def networks(draw: Callable[..., Any]) -> Any:
    address = draw(addresses)
    return ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@st.composite
def with_prefix(draw: Callable[..., Any]) -> Any:
    address = draw(addresses)
    return ip_interface((address, draw(st.integers(0, address.max_prefixlen))))


ips = st.builds(IP, with_prefix(), gateways, st.none() | st.integers(0, 2))
scopes = st.none() | st.integers(0, 255)
routes = st.builds(Route, networks(), gateways, numbers, numbers, numbers, numbers, scopes)
names = st.lists(words, max_size=2).map(tuple)


def sound(result: Result) -> Result:
    """The same without addresses of interfaces that it has not."""
    return replace(
        result,
        ips=tuple(
            each
            for each in result.ips
            if each.interface is None or each.interface < len(result.interfaces)
        ),
    )


results = st.builds(
    Result,
    st.lists(interfaces, max_size=3).map(tuple),
    st.lists(ips, max_size=3).map(tuple),
    st.lists(routes, max_size=3).map(tuple),
    st.builds(DNS, names, words, names, names),
).map(sound)


@given(results, versions)
def test_what_is_written_is_read_again_but_for_what_the_version_cannot_say(
    result: Result, version: str
) -> None:
    written = json.loads(formats.encode(formats.write_result(result, version)))

    kept = result
    if version in ("0.3.0", "0.3.1", "0.4.0"):
        lossy = [replace(each, mtu=0, socket_path="", pci_id="") for each in result.interfaces]
        kept = replace(result, interfaces=tuple(lossy))
    assert formats.read_result(written, "0.2.0") == kept


@given(results, versions)
def test_unknown_keys_are_ignored(result: Result, version: str) -> None:
    written = formats.write_result(result, version)
    for each in (written, *written.get("interfaces", []), *written.get("ips", [])):
        each["x-new"] = {"cniVersion": 9}

    assert formats.read_result(written, version) == formats.read_result(
        formats.write_result(result, version), version
    )


def test_addresses_carry_their_family_before_version_1() -> None:
    result = Result(ips=(IP(IPv4Interface("10.0.0.2/8")), IP(IPv6Interface("fd00::2/64"))))

    old = formats.write_result(result, "0.4.0")
    assert [each["version"] for each in old["ips"]] == ["4", "6"]
    assert old["dns"] == {}
    assert formats.write_result(result, "1.0.0") == {
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.0.0.2/8"}, {"address": "fd00::2/64"}],
    }


def test_the_oldest_form_is_read_as_addresses_without_interfaces() -> None:
    told = {
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "dns": {"nameservers": ["10.1.0.1"]},
    }

    assert formats.read_result(told, "1.0.0") == Result(
        ips=(
            IP(IPv4Interface("10.1.0.5/16"), IPv4Address("10.1.0.1")),
            IP(IPv6Interface("fd00::5/64")),
        ),
        routes=(
            Route(IPv4Network("0.0.0.0/0")),
            Route(ip_network("::/0"), IPv6Address("fd00::1")),
        ),
        dns=DNS(("10.1.0.1",)),
    )


@pytest.mark.parametrize("value", [None, {}, {"dns": {}}, {"ips": None, "dns": None}])
def test_nothing_at_all_is_an_empty_result(value: Any) -> None:
    assert formats.read_result(value, "0.4.0") == Result()


def test_a_result_without_version_has_that_of_the_configuration() -> None:
    told = {"ip4": {"ip": "10.1.0.5/16"}}

    assert formats.read_result(told, "0.2.0").ips == (IP(IPv4Interface("10.1.0.5/16")),)
    assert formats.read_result(told, "1.0.0") == Result()


def test_host_bits_of_a_route_mean_nothing() -> None:
    read = formats.read_result({"routes": [{"dst": "10.1.2.3/8"}]}, "1.0.0")

    assert read.routes == (Route(IPv4Network("10.0.0.0/8")),)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([], "a result must be an object"),
        ("no", "a result must be an object"),
        ({"cniVersion": "2.0.0"}, "CNI version 2.0.0"),
        ({"cniVersion": 1}, "result.cniVersion"),
        ({"interfaces": {}}, "result.interfaces"),
        ({"interfaces": [{"mtu": -1}]}, "result.interfaces[0].mtu"),
        ({"ips": [{}]}, "result.ips[0].address"),
        ({"ips": [{"address": "10.1.0.5"}]}, "result.ips[0].address"),
        ({"ips": [{"address": "fe80::1%1/64"}]}, "result.ips[0].address"),
        ({"ips": [{"address": "10.1.0.5/8", "interface": 0}]}, "result.ips[0].interface"),
        ({"ips": [{"address": "10.1.0.5/8", "interface": -1}]}, "result.ips[0].interface"),
        (
            {"interfaces": [{}], "ips": [{"address": "10.1.0.5/8", "interface": 1}]},
            "result.ips[0].interface",
        ),
        ({"routes": [{"gw": "10.0.0.1"}]}, "result.routes[0].dst"),
        ({"routes": [{"dst": "10.0.0.0/8", "scope": 256}]}, "result.routes[0].scope"),
        ({"dns": {"search": "x"}}, "result.dns.search"),
        ({"cniVersion": "0.1.0", "ip4": {}}, "result.ip4.ip"),
    ],
)
def test_what_is_no_result_is_refused_by_its_place(value: Any, named: str) -> None:
    with pytest.raises(CNIError) as refused:
        formats.read_result(value, "1.0.0")

    assert refused.value.code == Code.UNDECODABLE
    assert named in str(refused.value)


@given(st.sampled_from([*Code]) | st.integers(100, 2**31), words, words, versions)
def test_an_error_is_read_as_it_was_written(
    code: int, msg: str, details: str, version: str
) -> None:
    written = formats.write_error(CNIError(code, msg or "x", details), version)
    read = formats.read_error(json.loads(formats.encode(written)))

    assert written["cniVersion"] == version
    assert ("details" in written) == bool(details)
    assert (read.code, read.msg, read.details) == (code, msg or "x", details)


@pytest.mark.parametrize("value", [None, [], {}, {"code": "7"}, {"code": 0, "msg": None}])
def test_an_error_that_says_nothing_is_an_internal_one(value: Any) -> None:
    assert formats.read_error(value).code == Code.INTERNAL


@pytest.mark.parametrize("data", [b"", b"{", b"\xff{}", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_number_6(data: bytes) -> None:
    with pytest.raises(CNIError, match="the thing is not JSON") as refused:
        formats.decode(data, "the thing")

    assert refused.value.code == Code.UNDECODABLE


@given(addresses)
def test_an_address_with_a_zone_is_none(address: Any) -> None:
    told = {"ips": [{"address": f"{address}/8", "gateway": f"{address}%eth0"}]}
    with pytest.raises(CNIError, match="gateway"):
        formats.read_result(told, "1.0.0")
