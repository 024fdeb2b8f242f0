"""boto3 itself, with its waiters, through a relay from TCP to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.unit.doors.agents import Agent
from tests.unit.doors.test_operations_definitions import web


@asynccontextmanager
async def relayed(socket: Path) -> AsyncIterator[str]:
    """The URL of a TCP port whose connections end at ``socket``."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(socket)
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(reader, inner_writer))
            group.create_task(copy(inner_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def ecs(agent: Agent) -> AsyncIterator[Any]:
    async with relayed(agent.socket) as url:
        client = boto3.client(
            "ecs",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"max_attempts": 1}),
        )
        try:
            yield client
        finally:
            client.close()


def life_of_a_task(client: Any) -> dict[str, Any]:
    patience = {"Delay": 0.02, "MaxAttempts": 200}
    client.register_task_definition(**web())
    task = client.run_task(taskDefinition="web", count=1)["tasks"][0]["taskArn"]
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
