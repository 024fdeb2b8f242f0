"""The addresses of the configuration, and who may put others in their place."""

from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.ipam import static
from cni.spec import DNS, IP, Args, Result, Route

NONE: Any = None
CONTEXT = Context(NONE, NONE, NONE, Path("/nonexistent"))
LISTED = {
    "addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}, {"address": "fd00::5/64"}]
}


def add(ipam: dict[str, Any], asked: list[str] | None = None, **more: Any) -> Result:
    values = {"name": "net", "ipam": {"type": "static", **ipam}}
    values |= {"args": {"cni": {"ips": asked}}} if asked else {}
    return static.add(static.parse(Fields(values)), Args("a", None, **more), CONTEXT)


def addresses(result: Result) -> list[str]:
    return [str(ip.address) for ip in result.ips]


def test_what_is_listed_is_given_with_routes_and_dns() -> None:
    result = add({**LISTED, "routes": [{"dst": "0.0.0.0/0"}], "dns": {"domain": "a.example"}})

    assert result == Result(
        ips=(
            IP(ip_interface("10.0.0.5/24"), ip_address("10.0.0.1")),
            IP(ip_interface("fd00::5/64")),
        ),
        routes=(Route(ip_network("0.0.0.0/0")),),
        dns=DNS(domain="a.example"),
    )


def test_the_environment_adds_and_the_others_replace() -> None:
    environment = {"IP": "10.1.0.5/24, fd01::5/64", "GATEWAY": "fd01::1,10.1.0.1"}

    added = add(LISTED, cni_args=environment)
    assert addresses(added)[2:] == ["10.1.0.5/24", "fd01::5/64"]
    assert [str(ip.gateway) for ip in added.ips[2:]] == ["10.1.0.1", "fd01::1"]
    assert addresses(add(LISTED, ["10.2.0.5/24"], cni_args=environment)) == ["10.2.0.5/24"]
    runtime = {"ips": ["10.3.0.5/24"]}
    assert addresses(add(LISTED, ["10.2.0.5/24"], runtime=runtime)) == ["10.3.0.5/24"]


@pytest.mark.parametrize(
    ("ipam", "more", "code", "words"),
    [
        ({}, {}, Code.INVALID_CONFIG, "ipam.addresses must be given"),
        (
            {"addresses": [{"address": "10.0.0.5"}]},
            {},
            Code.INVALID_CONFIG,
            r"ipam.addresses\[0\].address",
        ),
        ({}, {"runtime": {"ips": ["x"]}}, Code.INVALID_CONFIG, r"runtimeConfig.ips\[0\]"),
        ({}, {"cni_args": {"IP": "x"}}, Code.INVALID_ENVIRONMENT, "CNI_ARGS"),
    ],
)
def test_a_wrong_or_missing_address_is_named(
    ipam: dict[str, Any], more: dict[str, Any], code: Code, words: str
) -> None:
    with pytest.raises(CNIError, match=words) as caught:
        add(ipam, **more)
    assert caught.value.code == code
