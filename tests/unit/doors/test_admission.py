"""What is refused at once, for want of what the host can't give or a running task keeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from agent.doors.admission import kept, refusal
from agent.engine.feed import Picture
from agent.task.capacity import Capacity, Item, Need, Resource, need
from agent.task.definition import TaskDefinition
from agent.task.model import Intent, Stop, StopCode, StopRequest, Task, first_progress
from tests.worlds import container, task

AWSVPC = TaskDefinition(family="x", container_definitions=(container("c"),), network_mode="awsvpc")
ROOM = Capacity(memory_mib=512, cpu_units=1024, reserved=frozenset({("tcp", 22)}))
PORT_80 = {"portMappings": [{"containerPort": 1, "hostPort": 80}]}


def definition(*containers: dict[str, Any], **fields: Any) -> TaskDefinition:
    made = tuple(container(f"c{number}", **each) for number, each in enumerate(containers))
    return TaskDefinition(family="x", container_definitions=made, **fields)


@pytest.mark.parametrize(
    ("made", "short"),
    [
        (definition({"memory": 256}, {"memory": 256}), ""),
        (definition({"memory": 256}, {"memory": 257}), "MEMORY"),
        (definition({"cpu": 512}, {"cpu": 512}), ""),
        (definition({"cpu": 512}, {"cpu": 513}), "CPU"),
        (definition({"cpu": 9999, "memory": 9999}), "MEMORY"),
        (definition({"portMappings": [{"containerPort": 1, "hostPort": 22}]}), "PORTS"),
        (definition(PORT_80), "PORTS"),
        (definition({"portMappings": [{"containerPort": 1, "hostPort": 81}]}), ""),
    ],
)
def test_what_the_host_never_has_and_what_is_kept_is_refused(
    made: TaskDefinition, short: str
) -> None:
    places: Counter[Item] = Counter({("tcp", 80): 1})
    assert refusal(need(made), ROOM, places) == short


@pytest.mark.parametrize(
    ("interfaces", "taken", "short"),
    [(None, 99, ""), (2, 1, ""), (2, 2, "ENI"), (0, 0, "ENI")],
)
def test_a_task_in_awsvpc_mode_needs_an_interface(
    interfaces: int | None, taken: int, short: str
) -> None:
    room = Capacity(memory_mib=512, cpu_units=1024, interfaces=interfaces)
    places: Counter[Item] = Counter({Resource.ENI: taken})
    assert refusal(need(AWSVPC), room, places) == short
    assert refusal(need(definition({})), room, places) == ""


def test_a_port_that_is_reserved_now_but_was_not_refuses_nobody_else() -> None:
    """An older task has it still."""
    places: Counter[Item] = Counter({("tcp", 22): 1})
    assert refusal(need(definition(PORT_80)), ROOM, places) == ""


def picture(made: Task, *, asked: bool = False, going: bool = False) -> Picture:
    intent, progress = Intent(made), first_progress(made)
    if asked:
        intent = replace(intent, stop=StopRequest(1.0, "asked"))
    if going:
        progress = replace(progress, stop=Stop(StopCode.ESSENTIAL_EXITED, "exited", 1.0))
    return Picture(intent, progress)


def need_of(made: Task) -> Need:
    return need(made.definition)


def test_places_are_kept_by_tasks_that_nobody_stops() -> None:
    made = task(container("web", **PORT_80))
    eni = task(container("web"), mode="awsvpc")
    going_on = [picture(made), picture(eni), picture(eni)]
    assert kept(going_on, need_of) == {("tcp", 80): 1, Resource.ENI: 2}
    assert kept([picture(made, asked=True), picture(eni, going=True)], need_of) == {}
