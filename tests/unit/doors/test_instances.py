"""The host as a container instance, as boto3 sees it: its state, what it has and what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent import VERSION
from agent.task.capacity import Capacity
from agent.task.model import StopRequest, TaskId
from tests.unit.doors.agents import Agent, running
from tests.unit.doors.client import Refused
from tests.unit.doors.test_boto3 import ecs
from tests.unit.doors.test_definitions import web
from tests.unit.doors.test_tasks import HOST, describe, id_of, over, run, up

ROOM = Capacity(
    memory_mib=200, cpu_units=1024, reserved=frozenset({("tcp", 22), ("udp", 53), ("tcp", 9)})
)
PORTS = {"portMappings": [{"containerPort": 80, "hostPort": 80}]}


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent on a host with room for three tasks of the usual size."""
    async with running(tmp_path, capacity=ROOM) as agent:
        yield agent


async def instance(agent: Agent, **asked: Any) -> dict[str, Any]:
    answer = await agent.client.call(
        "DescribeContainerInstances", containerInstances=[HOST], **asked
    )
    assert answer["failures"] == []
    (shown,) = answer["containerInstances"]
    return dict(shown)


def numbers(shown: dict[str, Any], which: str) -> dict[str, Any]:
    return {
        each["name"]: each["integerValue"] if each["type"] == "INTEGER" else each["stringSetValue"]
        for each in shown[which]
    }


async def test_it_is_described_with_what_it_has_and_what_is_left(small: Agent) -> None:
    empty = await instance(small)
    has = {"CPU": 1024, "MEMORY": 200, "PORTS": ["9", "22"], "PORTS_UDP": ["53"]}
    assert numbers(empty, "registeredResources") == numbers(empty, "remainingResources") == has
    assert (empty["status"], empty["agentConnected"]) == ("ACTIVE", True)
    assert empty["versionInfo"] == {"agentVersion": VERSION}
    await small.client.call("RegisterTaskDefinition", **web(container={"cpu": 100, **PORTS}))
    made = await run(small, registered=True)
    await up(small, made)
    shown = await instance(small)
    assert numbers(shown, "registeredResources") == has
    left = {"CPU": 924, "MEMORY": 136, "PORTS": ["9", "22", "80"], "PORTS_UDP": ["53"]}
    assert numbers(shown, "remainingResources") == left
    assert (shown["runningTasksCount"], shown["pendingTasksCount"]) == (1, 0)
    await small.client.call("StopTask", task=id_of(made))
    await over(small, made)
    assert numbers(await instance(small), "remainingResources") == has


async def test_attributes_and_tags_are_those_of_the_settings(agent: Agent) -> None:
    object.__setattr__(agent.desk.settings, "instance_attributes", {"rack": "7"})
    object.__setattr__(agent.desk.settings, "instance_tags", {"team": "shop"})
    shown = await instance(agent, include=["TAGS"])
    attributes = {each["name"]: each["value"] for each in shown["attributes"]}
    assert attributes["rack"] == "7"
    assert attributes["ecs.os-type"] == "linux"
    assert shown["tags"] == [{"key": "team", "value": "shop"}]
    assert (await instance(agent))["tags"] == []


@pytest.mark.parametrize("name", [HOST, HOST.rpartition("/")[2]])
async def test_it_may_be_named_in_both_ways_and_others_are_missing(agent: Agent, name: str) -> None:
    answer = await agent.client.call(
        "DescribeContainerInstances", containerInstances=[name, "other", name]
    )
    assert [each["containerInstanceArn"] for each in answer["containerInstances"]] == [HOST]
    missing = f"{HOST.rpartition('/')[0]}/other"
    assert answer["failures"] == [{"arn": missing, "reason": "MISSING"}]


async def test_it_is_listed_by_its_state(agent: Agent) -> None:
    async def listed(**asked: str) -> list[str]:
        found: list[str] = (await agent.client.call("ListContainerInstances", **asked))[
            "containerInstanceArns"
        ]
        return found

    assert await listed() == await listed(status="ACTIVE") == [HOST]
    assert await listed(status="DRAINING") == []
    await state(agent, "DRAINING")
    assert await listed() == await listed(status="DRAINING") == [HOST]
    assert await listed(status="ACTIVE") == []
    with pytest.raises(Refused, match="query language"):
        await listed(filter="attribute:rack == 7")


async def state(agent: Agent, status: str, *names: str) -> dict[str, Any]:
    wanted = list(names) or [HOST]
    return await agent.client.call(
        "UpdateContainerInstancesState", containerInstances=wanted, status=status
    )


async def test_a_draining_host_takes_no_new_tasks_and_runs_those_that_it_has(agent: Agent) -> None:
    made = await run(agent, clientToken="x")
    answer = await state(agent, "DRAINING")
    assert [each["status"] for each in answer["containerInstances"]] == ["DRAINING"]
    with pytest.raises(Refused, match="No Container Instances were found") as caught:
        await run(agent, registered=True)
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameterException")
    again = await run(agent, registered=True, clientToken="x")
    assert again["taskArn"] == made["taskArn"], "a repeated request is answered as before"
    await up(agent, made)
    assert (await describe(agent, made))["desiredStatus"] == "RUNNING"
    await state(agent, "ACTIVE")
    assert await run(agent, registered=True)


async def test_the_state_of_another_host_is_not_this_ones(agent: Agent) -> None:
    answer = await state(agent, "DRAINING", "other")
    assert answer["containerInstances"] == []
    assert [each["reason"] for each in answer["failures"]] == ["MISSING"]
    assert (await instance(agent))["status"] == "ACTIVE"


@pytest.mark.parametrize("status", ["REGISTERING", "", "draining"])
async def test_a_host_can_not_be_in_any_other_state(agent: Agent, status: str) -> None:
    with pytest.raises(Refused) as caught:
        await state(agent, status)
    assert caught.value.code == "InvalidParameterException"


def drained(client: Any) -> str:
    asked = {"containerInstances": [HOST], "status": "DRAINING"}
    answer = client.update_container_instances_state(**asked)
    return str(answer["containerInstances"][0]["status"])


async def test_boto3_drains_it(agent: Agent) -> None:
    async with ecs(agent) as client:
        assert await asyncio.to_thread(drained, client) == "DRAINING"


async def test_tasks_wait_for_memory_and_say_so(small: Agent) -> None:
    await small.client.call("RegisterTaskDefinition", **web())
    answer = await small.client.call("RunTask", taskDefinition="web", count=4)
    assert answer["failures"] == []
    *first, last = answer["tasks"]
    for each in first:
        await up(small, each)
    shown = await small.client.ours("WatchTask", task=id_of(last), since=1, waitSeconds=5)
    assert shown["task"]["lastStatus"] == "PENDING"
    why = "for 64 MiB of memory: 8 MiB of 200 are free"
    assert [(each["what"], each["detail"]) for each in shown["steps"]] == [("waiting", why)]
    assert shown["waitsFor"] == why
    queue = await small.client.ours("DescribeQueue")
    assert queue == {"waiting": [{"taskArn": last["taskArn"], "waitsFor": why}]}
    assert (await instance(small))["pendingTasksCount"] == 1
    await small.client.call("StopTask", task=id_of(first[0]))
    await up(small, last)
    assert await small.client.ours("DescribeQueue") == {"waiting": []}


async def test_a_port_of_a_task_on_its_way_down_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as agent:
        await agent.client.call("RegisterTaskDefinition", **web(container=PORTS))
        made = await run(agent, registered=True)
        await up(agent, made)
        refused = await agent.client.call("RunTask", taskDefinition="web")
        assert refused["failures"] == [{"arn": HOST, "reason": "RESOURCE:PORTS"}]
        host = agent.hosts.of(next(iter(agent.desk.store.intents.values())).task)
        host.behaviours["web"].ignores_term = True
        await agent.client.call("StopTask", task=id_of(made))
        heir = await run(agent, registered=True)
        shown = await agent.client.ours("WatchTask", task=id_of(heir))
        assert shown["waitsFor"] == f"for port 80/tcp: task {id_of(made)[:12]} has it"
        kill = StopRequest(agent.desk.clock(), "enough", force=True)
        await agent.desk.fleet.stop(TaskId(id_of(made)), kill)
        await up(agent, heir)


async def test_a_reserved_port_is_refused(small: Agent) -> None:
    taken = {"portMappings": [{"containerPort": 80, "hostPort": 22}]}
    await small.client.call("RegisterTaskDefinition", **web(container=taken))
    answer = await small.client.call("RunTask", taskDefinition="web")
    assert answer["failures"] == [{"arn": HOST, "reason": "RESOURCE:PORTS"}]
