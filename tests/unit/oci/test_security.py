"""Capabilities and AppArmor."""

from dataclasses import replace
from typing import Any

import pytest

from agent.oci.errors import SpecError
from agent.oci.security import (
    DEFAULT_CAPABILITIES,
    apparmor_profile,
    capabilities,
    has_no_new_privileges,
)
from agent.task.definition.linux_rules import CAPABILITIES
from tests.unit.oci.worlds import container, inputs


def given(add: tuple[str, ...] = (), drop: tuple[str, ...] = (), **fields: Any) -> set[str]:
    parameters = {"capabilities": {"add": list(add), "drop": list(drop)}}
    return set(capabilities(inputs({"linuxParameters": parameters, **fields})))


def test_the_default_set_is_the_known_fourteen() -> None:
    assert given() == DEFAULT_CAPABILITIES
    assert len(DEFAULT_CAPABILITIES) == 14


def test_capabilities_are_added_and_dropped() -> None:
    assert given(add=("NET_ADMIN",), drop=("CHOWN",)) == (DEFAULT_CAPABILITIES | {"NET_ADMIN"}) - {
        "CHOWN"
    }
    assert given(add=("KILL",), drop=("ALL",)) == {"KILL"}
    assert given(add=("ALL",), drop=("SYS_ADMIN",)) == CAPABILITIES - {"SYS_ADMIN"}
    assert given(drop=("ALL",)) == set()


def test_privileged_has_all_whatever_is_dropped() -> None:
    assert given(drop=("ALL",), privileged=True) == CAPABILITIES


def test_what_the_agent_lacks_is_left_out_of_sets_but_not_of_wishes() -> None:
    poor = replace(inputs().host, capabilities=CAPABILITIES - {"MKNOD", "SYS_TIME"})
    assert set(capabilities(inputs(host=poor))) == DEFAULT_CAPABILITIES - {"MKNOD"}
    wish = {"linuxParameters": {"capabilities": {"add": ["SYS_TIME"]}}}
    with pytest.raises(SpecError, match="SYS_TIME"):
        capabilities(inputs(wish, host=poor))


def test_no_new_privileges_is_an_option() -> None:
    assert has_no_new_privileges(container(dockerSecurityOptions=["no-new-privileges"]))
    assert not has_no_new_privileges(container(dockerSecurityOptions=["no-new-privileges:false"]))


@pytest.mark.parametrize(
    ("fields", "profile"),
    [
        ({}, "default"),
        ({"dockerSecurityOptions": ["apparmor:own"]}, "own"),
        ({"dockerSecurityOptions": ["apparmor:unconfined"]}, None),
        ({"privileged": True}, None),
    ],
)
def test_the_apparmor_profile_is_the_hosts_unless_chosen(
    fields: dict[str, Any], profile: str | None
) -> None:
    host = replace(inputs().host, apparmor_profile="default", apparmor=True)
    assert apparmor_profile(inputs(fields, host=host)) == profile
