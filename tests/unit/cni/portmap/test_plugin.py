"""What the portmap plugin takes from its configuration, and what it refuses."""

from typing import Any

import pytest

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code, PortTaken, reported
from cni.portmap import plugin as portmap
from cni.portmap.plugin import PortmapConfig
from cni.spec import Args

NOTHING_TO_CALL: Any = None


def parse(**keys: Any) -> PortmapConfig:
    return portmap.parse(Fields({"name": "net", "type": "portmap", **keys}))


def test_network_and_table_are_all_there_is_to_configure() -> None:
    assert parse() == PortmapConfig("net", "hostler-cni")
    assert parse(table="hostler") == PortmapConfig("net", "hostler")


@pytest.mark.parametrize(
    "keys",
    [
        {"snat": True},
        {"masqAll": False},
        {"markMasqBit": 13},
        {"externalSetMarkChain": "KUBE-MARK-MASQ"},
        {"conditionsV4": [], "conditionsV6": []},
        {"backend": "iptables"},
        {"backend": "nftables"},
        {"capabilities": {"portMappings": True}},
    ],
)
def test_a_key_of_the_reference_plugin_that_changes_nothing_is_taken(keys: dict[str, Any]) -> None:
    assert parse(**keys) == parse()


@pytest.mark.parametrize(
    "keys",
    [
        {"snat": False},
        {"masqAll": True},
        {"conditionsV4": ["!", "-d", "192.0.2.0/24"]},
        {"conditionsV6": ["!", "-d", "2001:db8::/32"]},
    ],
)
def test_a_key_that_would_mean_something_else_is_refused_by_name(keys: dict[str, Any]) -> None:
    ((key, value),) = keys.items()
    with pytest.raises(CNIError) as caught:
        parse(**keys)
    assert caught.value.code == Code.UNSUPPORTED_FIELD
    assert caught.value.msg == f"{key} {value!r} is not supported"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("table", "no table"),
        ("table", 5),
        ("name", "-"),
        ("backend", "pf"),
        ("markMasqBit", 32),
        ("snat", "maybe"),
        ("conditionsV4", "-d 192.0.2.1"),
    ],
)
def test_a_wrong_value_is_an_invalid_configuration(key: str, value: Any) -> None:
    with pytest.raises(CNIError) as caught:
        parse(**{key: value})
    assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize("verb", [portmap.add, portmap.check])
def test_without_a_plugin_before_it_there_is_no_container_to_lead_to(verb: Any) -> None:
    context: Context = NOTHING_TO_CALL
    with pytest.raises(CNIError, match="must be called as chained plugin") as caught:
        verb(parse(), Args("a", None), context)
    assert caught.value.code == Code.INVALID_CONFIG


def test_a_taken_port_is_named_with_its_holder() -> None:
    error = PortTaken("udp", 53, "a program on the host")

    assert str(error) == "host port 53/udp is already in use: held by a program on the host"
    assert error.code == Code.PORT_TAKEN


def test_an_operating_system_error_gets_a_number_and_a_numbered_one_keeps_its_own() -> None:
    with (
        pytest.raises(CNIError, match=r"cannot attach: \[Errno 13\]") as caught,
        reported("cannot attach"),
    ):
        raise PermissionError(13, "no")
    assert caught.value.code == Code.IO_FAILURE

    with pytest.raises(PortTaken), reported("cannot attach"):
        raise PortTaken("tcp", 80, "a container")
