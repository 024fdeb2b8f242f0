"""Tests of the text of the metadata file."""

import json
from dataclasses import replace
from typing import Any

import pytest

from metadata import file
from metadata.source import InstanceFacts, LimitsFacts, PortFacts
from tests.unit.metadata.facts import ARN, AWSVPC, BARE, BARE_TASK, BRIDGE, FULL, FULL_TASK, PULLED

INSTANCE = InstanceFacts(f"{ARN}:cluster/lab", f"{ARN}:container-instance/lab/0", "0.1.0")
RUNNING = replace(FULL, known_status="RUNNING")
FIRST = {
    "Cluster": "lab",
    "ContainerInstanceARN": f"{ARN}:container-instance/lab/0",
    "TaskARN": f"{ARN}:task/lab/0123",
    "TaskDefinitionFamily": "shop",
    "TaskDefinitionRevision": "7",
    "AvailabilityZone": "xx-test-1a",
}


def shown(*facts: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.text(*facts))
    return found


def test_the_complete_version() -> None:
    assert shown(INSTANCE, FULL_TASK, RUNNING) == {
        **FIRST,
        "ContainerName": "web",
        "ContainerID": "5b1e",
        "DockerContainerName": "/ecs-shop-7-web-a0",
        "ImageID": "sha256:77aa",
        "ImageName": "registry.example/shop:1.4",
        "PortMappings": [
            {"ContainerPort": 8080, "HostPort": 32771, "BindIp": "0.0.0.0", "Protocol": "tcp"}
        ],
        "Networks": [
            {
                "NetworkMode": "bridge",
                "IPv4Addresses": ["172.17.0.4"],
                "IPv6Addresses": ["fd00::4"],
            }
        ],
        "MetadataFileStatus": "READY",
    }


def test_the_first_version_has_no_status_and_nothing_of_the_runtime() -> None:
    assert shown(INSTANCE, FULL_TASK, PULLED) == {**FIRST, "ContainerName": "side"}


def test_an_interface_of_the_tasks_own_is_shown_in_full() -> None:
    (network,) = shown(INSTANCE, FULL_TASK, replace(RUNNING, networks=(AWSVPC,)))["Networks"]
    assert network["NetworkMode"] == "awsvpc"
    assert network["MACAddress"] == "02:00:00:00:00:07"


def test_keys_without_a_value_are_left_out() -> None:
    bare = replace(BARE, known_status="RUNNING", networks=())
    found = shown(InstanceFacts(), BARE_TASK, bare)
    assert set(found) == {
        "TaskARN",
        "TaskDefinitionFamily",
        "TaskDefinitionRevision",
        "ContainerName",
        "ContainerID",
        "DockerContainerName",
        "ImageName",
        "MetadataFileStatus",
    }
    (port,) = shown(INSTANCE, BARE_TASK, replace(bare, ports=(PortFacts(80),)))["PortMappings"]
    assert port == {"ContainerPort": 80, "Protocol": "tcp"}


@pytest.mark.parametrize(
    ("known", "networks", "ready"),
    [
        ("RUNNING", (BRIDGE,), True),
        ("RUNNING", (), True),
        ("RUNNING", None, False),
        ("CREATED", (BRIDGE,), False),
        ("STOPPED", (BRIDGE,), False),
    ],
)
def test_it_is_ready_when_the_container_runs_and_its_network_is_known(
    known: str, networks: Any, ready: bool
) -> None:
    container = replace(FULL, known_status=known, networks=networks)
    assert file.is_ready(container) == ready
    assert ("MetadataFileStatus" in shown(INSTANCE, FULL_TASK, container)) == ready


def test_it_is_indented_by_tabs_and_ends_with_a_line() -> None:
    lines = file.text(INSTANCE, FULL_TASK, RUNNING).decode().split("\n")
    assert (lines[0], lines[-2:]) == ("{", ["}", ""])
    assert lines[1] == '\t"Cluster": "lab",'
    assert all(line.startswith("\t") for line in lines[1:-2])


def test_what_is_no_part_of_it_changes_nothing() -> None:
    other = replace(RUNNING, health=None, limits=LimitsFacts(7, 7))
    assert file.text(INSTANCE, FULL_TASK, other) == file.text(INSTANCE, FULL_TASK, RUNNING)
