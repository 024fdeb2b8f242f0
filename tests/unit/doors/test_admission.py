"""Which static ports a task needs, and what it lacks room for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.doors.admission import Capacity, Taken, lacking, static_ports
from agent.task.definition import TaskDefinition
from tests.worlds import container

AWSVPC = TaskDefinition(family="x", container_definitions=(container("c"),), network_mode="awsvpc")
ROOM = Capacity(memory_mib=512, cpu_units=1024)


def definition(*containers: dict[str, Any], **fields: Any) -> TaskDefinition:
    made = tuple(container(f"c{number}", **each) for number, each in enumerate(containers))
    return TaskDefinition(family="x", container_definitions=made, **fields)


@pytest.mark.parametrize(
    ("network", "mapping", "ports"),
    [
        ("bridge", {"containerPort": 80, "hostPort": 8080}, [("tcp", 8080)]),
        ("bridge", {"containerPort": 80, "hostPort": 53, "protocol": "udp"}, [("udp", 53)]),
        ("bridge", {"containerPort": 80, "hostPort": 0}, []),
        ("bridge", {"containerPort": 80}, []),
        ("host", {"containerPort": 80}, [("tcp", 80)]),
        ("none", {"containerPort": 80, "hostPort": 80}, []),
    ],
)
def test_static_ports_depend_on_the_network_mode(
    network: str, mapping: dict[str, Any], ports: list[tuple[str, int]]
) -> None:
    made = definition({"portMappings": [mapping]}, network_mode=network)
    assert list(static_ports(made)) == ports


@pytest.mark.parametrize(
    ("made", "short"),
    [
        (definition({"memory": 256}, {"memory": 256}), ""),
        (definition({"memory": 256}, {"memory": 257}), "MEMORY"),
        (definition({"memory": 9999, "memoryReservation": 512}), ""),
        (definition({"memory": 9999}, memory=512), ""),
        (definition({"memory": 1}, memory=513), "MEMORY"),
        (definition({"cpu": 512}, {"cpu": 512}), ""),
        (definition({"cpu": 512}, {"cpu": 513}), "CPU"),
        (definition({"cpu": 9999}, cpu=1024), ""),
        (definition({"cpu": 9999, "memory": 9999}), "MEMORY"),
        (definition({"portMappings": [{"containerPort": 1, "hostPort": 80}]}), "PORTS"),
        (definition({"portMappings": [{"containerPort": 1, "hostPort": 81}]}), ""),
    ],
)
def test_a_task_needs_its_size_or_that_of_its_containers(made: TaskDefinition, short: str) -> None:
    assert lacking(made, ROOM, Taken({("tcp", 80)})) == short


@pytest.mark.parametrize(
    ("interfaces", "taken", "short"),
    [(None, 99, ""), (2, 1, ""), (2, 2, "ENI"), (0, 0, "ENI")],
)
def test_a_task_in_awsvpc_mode_needs_an_interface(
    interfaces: int | None, taken: int, short: str
) -> None:
    room = Capacity(memory_mib=512, cpu_units=1024, interfaces=interfaces)
    assert lacking(AWSVPC, room, Taken(interfaces=taken)) == short
    assert lacking(definition({}), room, Taken(interfaces=taken)) == ""


def test_what_tasks_have_is_counted_by_their_definition() -> None:
    everything = Taken()
    for each in (AWSVPC, AWSVPC, definition({"portMappings": [{"hostPort": 80}]})):
        everything.add(each)
    assert everything == Taken({("tcp", 80)}, interfaces=2)
