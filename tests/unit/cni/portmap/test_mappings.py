"""Port mappings, in libcni's JSON and out of it."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CNIError, Code
from cni.portmap import mappings
from cni.portmap.mappings import PortMapping, Protocol


@st.composite
def port_mappings(draw: st.DrawFn) -> PortMapping:
    count = draw(st.integers(1, 100))
    first = st.integers(1, 65536 - count)
    return PortMapping(
        draw(first),
        draw(first),
        draw(st.sampled_from(Protocol)),
        count,
        draw(st.none() | st.ip_addresses()),
    )


@given(st.lists(port_mappings(), max_size=5))
def test_what_is_written_is_read_again(wanted: list[PortMapping]) -> None:
    runtime = {"portMappings": [mapping.to_json() for mapping in wanted]}

    assert mappings.parse(runtime) == tuple(wanted)


@given(port_mappings())
def test_each_of_neighbouring_ports_leads_to_its_own(mapping: PortMapping) -> None:
    pairs = list(mapping.pairs())

    assert len(pairs) == mapping.count
    assert {host - container for host, container in pairs} == {
        mapping.host_port - mapping.container_port
    }
    assert pairs[0] == (mapping.host_port, mapping.container_port)


def test_no_mappings_are_none() -> None:
    assert mappings.parse({}) == mappings.parse({"portMappings": None}) == ()


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ({}, PortMapping(80, 8080)),
        ({"protocol": "", "hostIP": ""}, PortMapping(80, 8080)),
        ({"protocol": "UDP"}, PortMapping(80, 8080, Protocol.UDP)),
        ({"protocol": "sctp"}, PortMapping(80, 8080, Protocol.SCTP)),
        ({"hostIP": "0.0.0.0"}, PortMapping(80, 8080, host_ip=ip_address("0.0.0.0"))),
        ({"hostIP": "2001:db8::1"}, PortMapping(80, 8080, host_ip=ip_address("2001:db8::1"))),
        ({"range": 0}, PortMapping(80, 8080)),
        ({"range": 5, "other": "key"}, PortMapping(80, 8080, count=5)),
    ],
)
def test_an_entry_as_libcni_and_podman_have_it(entry: dict[str, Any], meant: PortMapping) -> None:
    runtime = {"portMappings": [{"hostPort": 8080, "containerPort": 80, **entry}]}

    assert mappings.parse(runtime) == (meant,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hostPort", 0),
        ("hostPort", None),
        ("hostPort", "8080"),
        ("hostPort", 65536),
        ("containerPort", 0),
        ("containerPort", True),
        ("protocol", "icmp"),
        ("protocol", 6),
        ("hostIP", "localhost"),
        ("range", -1),
    ],
)
def test_a_wrong_entry_is_named(key: str, value: Any) -> None:
    entry = {"hostPort": 8080, "containerPort": 80, key: value}

    with pytest.raises(CNIError) as caught:
        mappings.parse({"portMappings": [{"hostPort": 1, "containerPort": 1}, entry]})

    assert caught.value.code == Code.INVALID_CONFIG
    assert caught.value.msg.startswith(f"runtimeConfig.portMappings[1].{key} must be")


@pytest.mark.parametrize(
    ("container_port", "host_port", "count"),
    [(0, 80, 1), (70000, 80, 1), (80, -1, 1), (80, 65535, 2), (65535, 0, 2), (80, 80, 0)],
)
def test_a_mapping_outside_the_port_numbers_is_refused(
    container_port: int, host_port: int, count: int
) -> None:
    with pytest.raises(CNIError) as caught:
        PortMapping(container_port, host_port, count=count)
    assert caught.value.code == Code.INVALID_CONFIG
