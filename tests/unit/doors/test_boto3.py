"""boto3 itself, with its waiters, on the TCP port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from agent.doors.sigv4 import Key
from tests.unit.doors.agents import KEY, Agent
from tests.unit.doors.test_definitions import web


@asynccontextmanager
async def ecs(agent: Agent, key: Key = KEY) -> AsyncIterator[Any]:
    client = boto3.client(
        "ecs",
        endpoint_url=agent.url,
        region_name="eu-west-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret,
        config=Config(retries={"max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


def life_of_a_task(client: Any, mode: str = "bridge", **asked: Any) -> dict[str, Any]:
    patience = {"Delay": 0.02, "MaxAttempts": 2000}
    client.register_task_definition(**web(networkMode=mode))
    task = client.run_task(taskDefinition="web", count=1, **asked)["tasks"][0]["taskArn"]
    client.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig=patience)
    running = client.get_paginator("list_tasks").paginate(PaginationConfig={"PageSize": 1})
    assert list(running.search("taskArns[]")) == [task]
    client.stop_task(task=task, reason="enough")
    client.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=patience)
    shown: dict[str, Any] = client.describe_tasks(tasks=[task])["tasks"][0]
    return shown


async def test_boto3_runs_waits_for_and_stops_a_task(agent: Agent) -> None:
    async with ecs(agent) as client:
        shown = await asyncio.to_thread(life_of_a_task, client)
    assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "enough")


async def test_boto3_runs_a_task_with_a_network_interface(agent: Agent) -> None:
    asked = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}}
    async with ecs(agent) as client:
        shown = await asyncio.to_thread(
            life_of_a_task, client, "awsvpc", networkConfiguration=asked
        )
    (attachment,) = shown["attachments"]
    details = {each["name"]: each["value"] for each in attachment["details"]}
    assert details["privateIPv4Address"] == "10.0.1.7"
    (interface,) = shown["containers"][0]["networkInterfaces"]
    assert interface["attachmentId"] == attachment["id"]


async def test_boto3_raises_the_exceptions_of_ecs(agent: Agent) -> None:
    async with ecs(agent) as client:
        with pytest.raises(client.exceptions.ClusterNotFoundException):
            await asyncio.to_thread(client.list_tasks, cluster="other")
        with pytest.raises(client.exceptions.InvalidParameterException):
            await asyncio.to_thread(client.stop_task, task="f" * 32)
        with pytest.raises(client.exceptions.ClientException, match="Unable to describe"):
            await asyncio.to_thread(client.describe_task_definition, taskDefinition="x")
        with pytest.raises(ClientError, match="UnknownOperationException"):
            await asyncio.to_thread(client.list_services)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (Key("HOSTLERWRONGWRONG111", KEY.secret), "UnrecognizedClientException"),
        (Key(KEY.access_key_id, "wrong"), "InvalidSignatureException"),
    ],
)
async def test_boto3_is_refused_with_a_wrong_key(agent: Agent, key: Key, code: str) -> None:
    async with ecs(agent, key) as client:
        with pytest.raises(ClientError) as caught:
            await asyncio.to_thread(client.list_tasks)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
