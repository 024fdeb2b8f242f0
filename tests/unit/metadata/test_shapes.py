"""Tests of the JSON parts, as tables."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata import encoding
from metadata.encoding import Json
from metadata.source import (
    HealthFacts,
    Instant,
    InterfaceFacts,
    LimitsFacts,
    NetworkFacts,
    PortFacts,
    VolumeFacts,
)
from metadata.task import shapes
from tests.unit.metadata.facts import AWSVPC, BRIDGE, at

FIRST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 10**9
LAST = (int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) + 1) * 10**9 - 1


@pytest.mark.parametrize(
    ("offset_ns", "text"),
    [
        (0, "2031-02-03T04:05:06Z"),
        (700_000_000, "2031-02-03T04:05:06.7Z"),
        (123_456_789, "2031-02-03T04:05:06.123456789Z"),
        (1, "2031-02-03T04:05:06.000000001Z"),
        (4_000_000_000, "2031-02-03T04:05:10Z"),
    ],
)
def test_time_has_its_trailing_zeros_trimmed(offset_ns: int, text: str) -> None:
    assert encoding.time_text(at(offset_ns)) == text


@given(st.integers(FIRST, LAST))
def test_time_says_the_same_instant_to_the_nanosecond(instant: int) -> None:
    whole, _, fraction = encoding.time_text(Instant(instant)).removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(whole + "+00:00") - encoding._EPOCH).total_seconds()
    assert int(seconds) * 10**9 + int(fraction.ljust(9, "0")) == instant
    assert not fraction.endswith("0")


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (LimitsFacts(), {"CPU": 2, "Memory": 0}),
        (LimitsFacts(1, 4), {"CPU": 2, "Memory": 4}),
        (LimitsFacts(2048, 512), {"CPU": 2048, "Memory": 512}),
    ],
)
def test_container_limits_always_have_both_keys(limits: LimitsFacts, shown: Json) -> None:
    assert shapes.container_limits(limits) == shown


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (None, None),
        (LimitsFacts(), None),
        (LimitsFacts(512), {"CPU": 0.5}),
        (LimitsFacts(2048, 512), {"CPU": 2, "Memory": 512}),
        (LimitsFacts(0, 512), {"Memory": 512}),
    ],
)
def test_task_limits_are_in_vcpu_and_leave_out_what_is_unset(
    limits: LimitsFacts | None, shown: Json
) -> None:
    assert shapes.task_limits(limits) == shown


@pytest.mark.parametrize(
    ("port", "v3", "extra"),
    [
        (
            PortFacts(80, "udp", 8080, "::"),
            {"ContainerPort": 80, "Protocol": "udp", "HostPort": 8080},
            {"HostIp": "::"},
        ),
        (PortFacts(80), {"ContainerPort": 80, "Protocol": "tcp"}, {}),
    ],
)
def test_ports_have_a_host_address_in_version_4_only(
    port: PortFacts, v3: dict[str, Json], extra: dict[str, Json]
) -> None:
    assert shapes.port_v3(port) == v3
    assert shapes.port_v4(port) == v3 | extra


@pytest.mark.parametrize(
    ("network", "v3", "v4"),
    [
        (
            BRIDGE,
            {"NetworkMode": "bridge", "IPv4Addresses": ("172.17.0.4",)},
            {
                "NetworkMode": "bridge",
                "IPv4Addresses": ("172.17.0.4",),
                "IPv6Addresses": ("fd00::4",),
            },
        ),
        (
            NetworkFacts("host"),
            {"NetworkMode": "host", "IPv4Addresses": ("",)},
            {"NetworkMode": "host", "IPv4Addresses": ("",)},
        ),
        (
            NetworkFacts("bridge", ("172.17.0.4", "172.17.0.5")),
            {"NetworkMode": "bridge", "IPv4Addresses": ("172.17.0.4",)},
            {"NetworkMode": "bridge", "IPv4Addresses": ("172.17.0.4",)},
        ),
        (
            NetworkFacts("awsvpc", ipv6=("2001:db8::7",), interface=InterfaceFacts()),
            {"NetworkMode": "awsvpc", "IPv6Addresses": ("2001:db8::7",)},
            {"NetworkMode": "awsvpc", "IPv6Addresses": ("2001:db8::7",), "AttachmentIndex": 0},
        ),
        (
            AWSVPC,
            {
                "NetworkMode": "awsvpc",
                "IPv4Addresses": ("10.1.0.7", "10.1.0.8"),
                "IPv6Addresses": ("2001:db8::7",),
            },
            {
                "NetworkMode": "awsvpc",
                "IPv4Addresses": ("10.1.0.7", "10.1.0.8"),
                "IPv6Addresses": ("2001:db8::7",),
                "AttachmentIndex": 0,
                "MACAddress": "02:00:00:00:00:07",
                "IPv4SubnetCIDRBlock": "10.1.0.0/24",
                "IPv6SubnetCIDRBlock": "2001:db8::/64",
                "DomainNameServers": ("10.1.0.2",),
                "DomainNameSearchList": ("lab.example",),
                "PrivateDNSName": "ip-10-1-0-7.lab.example",
                "SubnetGatewayIpv4Address": "10.1.0.1/24",
                "SubnetGatewayIpv6Address": "2001:db8::1/64",
            },
        ),
    ],
)
def test_networks_show_what_their_mode_and_version_have(
    network: NetworkFacts, v3: Json, v4: Json
) -> None:
    assert shapes.network_v3(network) == v3
    assert shapes.network_v4(network) == v4


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (None, None),
        (HealthFacts(), {}),
        (
            HealthFacts("HEALTHY", at()),
            {"status": "HEALTHY", "statusSince": encoding.time_text(at())},
        ),
        (
            HealthFacts("UNHEALTHY", at(), 3, "no"),
            {
                "status": "UNHEALTHY",
                "statusSince": "2031-02-03T04:05:06Z",
                "exitCode": 3,
                "output": "no",
            },
        ),
    ],
)
def test_health_is_absent_without_a_check_and_empty_before_its_result(
    facts: HealthFacts | None, shown: Json
) -> None:
    assert shapes.health(facts) == shown


def test_volumes_leave_out_what_a_mount_does_not_have() -> None:
    assert shapes.volume(VolumeFacts("/data", "/srv", "v")) == {
        "DockerName": "v",
        "Source": "/srv",
        "Destination": "/data",
    }
    assert shapes.volume(VolumeFacts("/tmp")) == {"Destination": "/tmp"}
