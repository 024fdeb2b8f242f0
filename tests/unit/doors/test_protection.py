"""UpdateTaskProtection and GetTaskProtection, as boto3 sees them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.doors.agents import Agent
from tests.unit.doors.client import Refused
from tests.unit.doors.test_boto3 import ecs
from tests.unit.doors.test_tasks import CLUSTER, id_of, over, run, up

UNKNOWN = CLUSTER.replace(":cluster/default", f":task/default/{'f' * 32}")
MINUTE_S = 60


@pytest.fixture
async def task(agent: Agent) -> dict[str, Any]:
    made = await run(agent)
    await up(agent, made)
    return made


async def protect(agent: Agent, *tasks: str, on: bool = True, **more: Any) -> dict[str, Any]:
    asked = {"cluster": CLUSTER, "tasks": list(tasks), "protectionEnabled": on, **more}
    return await agent.client.call("UpdateTaskProtection", **asked)


async def get(agent: Agent, *tasks: str) -> dict[str, Any]:
    return await agent.client.call("GetTaskProtection", cluster=CLUSTER, tasks=list(tasks))


def minutes_left(agent: Agent, shown: dict[str, Any]) -> float:
    until: datetime = shown["expirationDate"]
    return (until.timestamp() - agent.desk.clock()) / MINUTE_S


async def test_a_task_is_protected_for_two_hours_unless_told(
    agent: Agent, task: dict[str, Any]
) -> None:
    arn = task["taskArn"]
    off = {"taskArn": arn, "protectionEnabled": False}
    assert (await get(agent, arn))["protectedTasks"] == [off]
    answer = await protect(agent, arn)
    (shown,) = answer["protectedTasks"]
    assert answer["failures"] == []
    assert (shown["taskArn"], shown["protectionEnabled"]) == (arn, True)
    assert 119 < minutes_left(agent, shown) <= 120.1
    assert (await get(agent, arn))["protectedTasks"] == [shown]
    (shorter,) = (await protect(agent, id_of(task), expiresInMinutes=7))["protectedTasks"]
    assert 6 < minutes_left(agent, shorter) <= 7.1
    assert (await protect(agent, arn, on=False))["protectedTasks"] == [off]
    assert (await get(agent, arn))["protectedTasks"] == [off]


async def test_boto3_protects_a_task(agent: Agent, task: dict[str, Any]) -> None:
    asked = {"cluster": "default", "tasks": [task["taskArn"]]}
    async with ecs(agent) as client:
        answer = await asyncio.to_thread(
            client.update_task_protection, protectionEnabled=True, expiresInMinutes=60, **asked
        )
        got = await asyncio.to_thread(client.get_task_protection, **asked)
        with pytest.raises(client.exceptions.ClusterNotFoundException):
            await asyncio.to_thread(client.get_task_protection, cluster="other")
    assert got["protectedTasks"] == answer["protectedTasks"]
    assert got["protectedTasks"][0]["expirationDate"] > datetime.fromtimestamp(0, UTC)


async def test_unknown_tasks_are_missing_and_the_others_protected(
    agent: Agent, task: dict[str, Any]
) -> None:
    missing = {"arn": UNKNOWN, "reason": "MISSING"}
    answer = await protect(agent, UNKNOWN, task["taskArn"])
    assert answer["failures"] == [missing]
    assert [each["taskArn"] for each in answer["protectedTasks"]] == [task["taskArn"]]
    answer = await get(agent, "f" * 32, task["taskArn"])
    assert answer["failures"] == [missing]
    assert [each["protectionEnabled"] for each in answer["protectedTasks"]] == [True]


async def test_a_task_that_stopped_is_not_valid(agent: Agent, task: dict[str, Any]) -> None:
    await protect(agent, task["taskArn"])
    await agent.client.call("StopTask", task=task["taskArn"])
    failure = {"arn": task["taskArn"], "reason": "TASK_NOT_VALID"}
    for _ in range(2):
        for answer in (
            await get(agent, task["taskArn"]),
            await protect(agent, task["taskArn"]),
            await protect(agent, task["taskArn"], on=False),
        ):
            assert (answer["protectedTasks"], answer["failures"]) == ([], [failure])
        await over(agent, task)


async def test_a_task_named_twice_is_shown_once(agent: Agent, task: dict[str, Any]) -> None:
    answer = await protect(agent, task["taskArn"], id_of(task))
    assert len(answer["protectedTasks"]) == 1


async def test_without_names_all_are_shown_that_can_be_protected(
    agent: Agent, task: dict[str, Any]
) -> None:
    second = await run(agent, registered=True)
    stopped = await run(agent, registered=True)
    await agent.client.call("StopTask", task=stopped["taskArn"])
    await protect(agent, second["taskArn"])
    answer = await agent.client.call("GetTaskProtection", cluster=CLUSTER)
    shown = {each["taskArn"]: each["protectionEnabled"] for each in answer["protectedTasks"]}
    assert shown == {task["taskArn"]: False, second["taskArn"]: True}
    assert answer["failures"] == []


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"expiresInMinutes": 0}, "from 1 to 2880"),
        ({"expiresInMinutes": 2881}, "from 1 to 2880"),
        ({"protectionEnabled": None}, "protectionEnabled"),
        ({"protectionEnabled": "yes"}, "protectionEnabled"),
        ({"expiresInMinutes": "5"}, "expiresInMinutes"),
        ({"tasks": []}, "tasks"),
        ({"tasks": None}, "tasks"),
        ({"tasks": ["x"] * 11}, "tasks"),
    ],
)
async def test_wrong_parameters_are_named(
    agent: Agent, task: dict[str, Any], asked: dict[str, Any], word: str
) -> None:
    body = {"tasks": [task["taskArn"]], "protectionEnabled": True, **asked}
    target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.UpdateTaskProtection"}
    answer = await agent.client.post(json.dumps(body).encode(), target)
    assert (answer.status, answer.json["__type"]) == (400, "InvalidParameterException")
    assert word in answer.json["message"]
    assert (await get(agent, task["taskArn"]))["protectedTasks"][0]["protectionEnabled"] is False


@pytest.mark.parametrize("call", ["UpdateTaskProtection", "GetTaskProtection"])
async def test_another_cluster_is_unknown(agent: Agent, call: str) -> None:
    more = {"protectionEnabled": True} if call.startswith("Update") else {}
    with pytest.raises(Refused, match="ClusterNotFoundException"):
        await agent.client.call(call, cluster="other", tasks=["x"], **more)
