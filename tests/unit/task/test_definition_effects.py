"""What is accepted and makes no difference."""

from typing import Any

import pytest

from agent.task.definition import read_task_definition, without_effect
from tests.unit.task.test_definition import task, web

SWAP = {"maxSwap": 10, "swappiness": 10}
ACCESS = {"devices": [{"hostPath": "/dev/kvm"}, {"hostPath": "/dev/fuse", "permissions": ["read"]}]}


@pytest.mark.parametrize(
    ("parameters", "fields", "idle"),
    [
        ({"swappiness": 10}, {}, ["swappiness"]),
        (SWAP, {}, []),
        ({"sharedMemorySize": 1}, {"ipcMode": "host"}, ["sharedMemorySize"]),
        ({"sharedMemorySize": 1}, {"ipcMode": "none"}, ["sharedMemorySize"]),
        ({"sharedMemorySize": 1}, {"ipcMode": "task"}, []),
        ({"initProcessEnabled": True}, {"pidMode": "task"}, ["initProcessEnabled"]),
        ({"initProcessEnabled": True}, {"pidMode": "host"}, ["initProcessEnabled"]),
        ({"initProcessEnabled": True, "sharedMemorySize": 1}, {}, []),
        (ACCESS, {}, []),
        ({"capabilities": {"drop": ["KILL"]}}, {}, []),
    ],
)
def test_it_is_named(parameters: dict[str, Any], fields: dict[str, Any], idle: list[str]) -> None:
    made = read_task_definition(task(web(linuxParameters=parameters), **fields)).definition
    head = "containerDefinitions[0].linuxParameters"
    assert [each.path for each in without_effect(made)] == [f"{head}.{x}" for x in idle]


@pytest.mark.parametrize(
    ("parameters", "idle"),
    [
        (ACCESS, "devices[1].permissions"),
        ({"capabilities": {"drop": ["KILL"]}}, "capabilities"),
        ({"capabilities": {"add": ["SYS_TIME"]}}, "capabilities"),
    ],
)
def test_what_a_privileged_container_has_anyway_is_named(
    parameters: dict[str, Any], idle: str
) -> None:
    data = task(web(linuxParameters=parameters, privileged=True))
    (problem,) = without_effect(read_task_definition(data).definition)
    assert problem.path == f"containerDefinitions[0].linuxParameters.{idle}"
    assert "has no effect with privileged" in problem.message
