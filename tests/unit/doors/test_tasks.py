"""RunTask, StopTask, DescribeTasks, ListTasks and DescribeClusters, as boto3 sees them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.task.capacity import Capacity
from agent.task.view import Running
from tests.unit.doors.agents import Agent, running
from tests.unit.doors.client import Refused
from tests.unit.doors.test_definitions import web

CLUSTER = "arn:aws:ecs:local:000000000000:cluster/default"
HOST = f"arn:aws:ecs:local:000000000000:container-instance/default/{'0' * 32}"


async def run(agent: Agent, *, registered: bool = False, **fields: Any) -> dict[str, Any]:
    if not registered:
        await agent.client.call("RegisterTaskDefinition", **web())
    answer = await agent.client.call("RunTask", **{"taskDefinition": "web", **fields})
    assert answer["failures"] == []
    task: dict[str, Any] = answer["tasks"][0]
    return task


def id_of(task: dict[str, Any]) -> str:
    task_id: str = task["taskArn"].rpartition("/")[2]
    return task_id


async def describe(agent: Agent, task: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await agent.client.call("DescribeTasks", tasks=[task["taskArn"]], **fields)
    shown: dict[str, Any] = answer["tasks"][0]
    return shown


async def up(agent: Agent, task: dict[str, Any]) -> dict[str, Any]:
    await agent.until(id_of(task), lambda each: each.progress.started_at is not None)
    return await describe(agent, task)


async def over(agent: Agent, task: dict[str, Any]) -> dict[str, Any]:
    await agent.until(id_of(task), lambda each: each.progress.closed)
    return await describe(agent, task)


async def test_a_task_is_accepted_as_pending_and_comes_up(agent: Agent) -> None:
    made = await run(agent)
    assert (made["lastStatus"], made["desiredStatus"]) == ("PENDING", "RUNNING")
    assert made["clusterArn"] == CLUSTER
    assert (made["launchType"], made["group"]) == ("EXTERNAL", "family:web")
    assert made["overrides"] == {"containerOverrides": [], "inferenceAcceleratorOverrides": []}
    shown = await up(agent, made)
    assert (shown["lastStatus"], shown["healthStatus"]) == ("RUNNING", "UNKNOWN")
    assert isinstance(shown["startedAt"], datetime)
    container = shown["containers"][0]
    assert (container["lastStatus"], container["memory"]) == ("RUNNING", "64")
    assert len(container["runtimeId"]) == 64
    assert container["imageDigest"] == "sha256:2"


async def test_a_stopped_task_says_why_and_when(agent: Agent) -> None:
    made = await run(agent)
    await up(agent, made)
    answer = await agent.client.call("StopTask", task=made["taskArn"], reason="release 7")
    assert answer["task"]["desiredStatus"] == "STOPPED"
    shown = await over(agent, made)
    assert (shown["lastStatus"], shown["stopCode"]) == ("STOPPED", "UserInitiated")
    assert shown["stoppedReason"] == "release 7"
    assert shown["containers"][0]["exitCode"] == 143
    assert shown["stoppingAt"] <= shown["executionStoppedAt"] <= shown["stoppedAt"]


async def test_a_task_stopped_without_a_reason_has_ecss(agent: Agent) -> None:
    made = await run(agent)
    await agent.client.call("StopTask", task=id_of(made), reason="")
    assert (await over(agent, made))["stoppedReason"] == "Task stopped by user"


async def test_the_exit_of_an_essential_container_is_the_stop_code(agent: Agent) -> None:
    agent.hosts.exits_after, agent.hosts.exit_code = 0.0, 3
    shown = await over(agent, await run(agent))
    assert shown["stopCode"] == "EssentialContainerExited"
    assert shown["stoppedReason"] == "Essential container in task exited"
    assert shown["containers"][0]["exitCode"] == 3


async def test_a_second_stop_keeps_the_first_reason_and_may_add_force(agent: Agent) -> None:
    agent.hosts.ignores_term = True
    made = await run(agent)
    await up(agent, made)
    await agent.client.call("StopTask", task=id_of(made), reason="first")
    await agent.client.call("StopTask", task=id_of(made), reason="second")
    assert (await describe(agent, made))["lastStatus"] == "STOPPING"
    force = b'{"task": "%s", "force": true}' % id_of(made).encode()
    target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.StopTask"}
    assert (await agent.client.post(force, target)).status == 200
    shown = await over(agent, made)
    assert shown["stoppedReason"] == "first"
    assert shown["containers"][0]["exitCode"] == 137


async def test_stopping_a_stopped_task_is_no_error(agent: Agent) -> None:
    made = await run(agent)
    await agent.client.call("StopTask", task=id_of(made), reason="first")
    await over(agent, made)
    again = await agent.client.call("StopTask", task=id_of(made), reason="second")
    assert again["task"]["stoppedReason"] == "first"


async def test_an_unknown_task_can_not_be_stopped(agent: Agent) -> None:
    with pytest.raises(Refused, match=r"The referenced task was not found\.") as caught:
        await agent.client.call("StopTask", task="f" * 32)
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameterException")


async def test_unknown_tasks_are_missing_and_known_ones_shown(agent: Agent) -> None:
    made = await run(agent)
    names = [id_of(made), "f" * 32, f"arn:aws:ecs:local:000000000000:task/default/{'e' * 32}"]
    answer = await agent.client.call("DescribeTasks", tasks=names)
    assert [each["taskArn"] for each in answer["tasks"]] == [made["taskArn"]]
    arn = "arn:aws:ecs:local:000000000000:task/default"
    assert answer["failures"] == [
        {"arn": f"{arn}/{'f' * 32}", "reason": "MISSING"},
        {"arn": f"{arn}/{'e' * 32}", "reason": "MISSING"},
    ]


async def test_tags_of_a_task_are_shown_when_they_are_asked_for(agent: Agent) -> None:
    tags = [{"key": "a", "value": "b"}]
    made = await run(agent, tags=tags)
    assert made["tags"] == tags
    assert (await describe(agent, made))["tags"] == []
    assert (await describe(agent, made, include=["TAGS"]))["tags"] == tags


async def test_tags_of_the_definition_are_propagated_on_demand(agent: Agent) -> None:
    of_definition = [{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]
    await agent.client.call("RegisterTaskDefinition", **web(tags=of_definition))
    own = [{"key": "b", "value": "2"}]
    made = await run(agent, registered=True, tags=own, propagateTags="TASK_DEFINITION")
    assert made["tags"] == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]


async def test_overrides_take_effect_and_are_shown(agent: Agent) -> None:
    overrides = {
        "containerOverrides": [{"name": "web", "command": ["sleep"], "memory": 128}],
        "cpu": "512",
    }
    made = await run(agent, overrides=overrides)
    assert made["overrides"] == {**overrides, "inferenceAcceleratorOverrides": []}
    assert made["cpu"] == "512"
    assert made["containers"][0]["memory"] == "128"
    kept = agent.desk.store.intents[next(iter(agent.desk.store.intents))].task
    assert kept.container("web").command == ("sleep",)


async def test_overrides_of_an_unknown_container_are_refused(agent: Agent) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    overrides = {"containerOverrides": [{"name": "wev"}]}
    with pytest.raises(Refused, match="did you mean web") as caught:
        await agent.client.call("RunTask", taskDefinition="web", overrides=overrides)
    assert caught.value.code == "InvalidParameterException"
    assert not agent.desk.store.intents


async def test_a_repeated_client_token_gives_the_same_task(agent: Agent) -> None:
    first = await run(agent, clientToken="once")
    again = await run(agent, registered=True, clientToken="once")
    other = await run(agent, registered=True, clientToken="twice")
    assert again["taskArn"] == first["taskArn"] != other["taskArn"]


async def test_a_client_token_repeated_at_the_same_time_gives_the_same_task(agent: Agent) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    made = await asyncio.gather(
        *(run(agent, registered=True, clientToken="once") for _ in range(5))
    )
    assert len({each["taskArn"] for each in made}) == 1
    assert len(agent.desk.store.intents) == 1


async def test_a_client_token_of_another_request_is_a_conflict(agent: Agent) -> None:
    made = await run(agent, clientToken="once")
    with pytest.raises(Refused, match=made["taskArn"]) as caught:
        await agent.client.call(
            "RunTask", taskDefinition="web", clientToken="once", startedBy="somebody else"
        )
    assert caught.value.code == "ConflictException"


async def test_several_tasks_are_run_at_once(agent: Agent) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    answer = await agent.client.call("RunTask", taskDefinition="web", count=3)
    assert len({each["taskArn"] for each in answer["tasks"]}) == 3
    with pytest.raises(Refused, match="count"):
        await agent.client.call("RunTask", taskDefinition="web", count=11)


@pytest.mark.parametrize(
    ("network", "port"),
    [
        ("bridge", {"containerPort": 80, "hostPort": 8080}),
        ("host", {"containerPort": 8080}),
        ("host", {"containerPort": 8080, "hostPort": 8080}),
    ],
)
async def test_a_port_that_is_taken_is_a_failure(
    agent: Agent, network: str, port: dict[str, int]
) -> None:
    definition = web(networkMode=network, container={"portMappings": [port]})
    await agent.client.call("RegisterTaskDefinition", **definition)
    answer = await agent.client.call("RunTask", taskDefinition="web", count=2)
    assert len(answer["tasks"]) == 1
    assert answer["failures"] == [{"arn": HOST, "reason": "RESOURCE:PORTS"}]
    again = await agent.client.call("RunTask", taskDefinition="web")
    assert (again["tasks"], again["failures"]) == ([], answer["failures"])


async def test_the_same_port_of_another_protocol_is_free(agent: Agent) -> None:
    for protocol in ("tcp", "udp"):
        port = {"containerPort": 80, "hostPort": 8080, "protocol": protocol}
        definition = web(container={"portMappings": [port]})
        await agent.client.call("RegisterTaskDefinition", **definition)
        assert await run(agent, registered=True)


async def test_a_port_is_free_again_when_nothing_is_left_of_its_task(agent: Agent) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    await agent.client.call("RegisterTaskDefinition", **web(container={"portMappings": ports}))
    made = await run(agent, registered=True)
    await agent.client.call("StopTask", task=id_of(made))
    await over(agent, made)
    assert await run(agent, registered=True)


@pytest.mark.parametrize(
    ("capacity", "short"),
    [(Capacity(memory_mib=63, cpu_units=4096), "MEMORY"), (Capacity(4096, 255), "CPU")],
)
async def test_a_task_that_is_too_big_for_the_host_is_a_failure(
    tmp_path: Path, capacity: Capacity, short: str
) -> None:
    async with running(tmp_path, capacity=capacity) as agent:
        await agent.client.call("RegisterTaskDefinition", **web(container={"cpu": 256}))
        answer = await agent.client.call("RunTask", taskDefinition="web")
    assert answer["failures"] == [{"arn": HOST, "reason": f"RESOURCE:{short}"}]
    assert not agent.desk.store.intents


async def test_an_unknown_definition_can_not_be_run(agent: Agent) -> None:
    with pytest.raises(Refused) as caught:
        await agent.client.call("RunTask", taskDefinition="nothing")
    assert caught.value.code == "ClientException"


@pytest.mark.parametrize(
    ("call", "params"),
    [
        ("RunTask", {"taskDefinition": "web"}),
        ("StopTask", {"task": "f" * 32}),
        ("DescribeTasks", {"tasks": ["f" * 32]}),
        ("ListTasks", {}),
    ],
)
async def test_another_cluster_is_not_found(
    agent: Agent, call: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match=r"Cluster not found\.") as caught:
        await agent.client.call(call, cluster="other", **params)
    assert (caught.value.status, caught.value.code) == (400, "ClusterNotFoundException")


async def test_the_cluster_may_be_named_in_every_way(agent: Agent) -> None:
    for name in ("default", CLUSTER, ""):
        assert (await agent.client.call("ListTasks", cluster=name))["taskArns"] == []


async def test_tasks_are_listed_by_any_filter(agent: Agent) -> None:
    made = await run(agent, startedBy="ci", group="service:shop")
    other = await run(agent, registered=True, group="shop")

    async def listed(**filters: str) -> list[str]:
        found: list[str] = (await agent.client.call("ListTasks", **filters))["taskArns"]
        return found

    both = [made["taskArn"], other["taskArn"]]
    assert await listed() == await listed(family="web") == both
    assert await listed(launchType="EXTERNAL") == await listed(containerInstance=HOST) == both
    assert await listed(startedBy="ci") == await listed(serviceName="shop") == both[:1]
    assert await listed(startedBy="ci", family="db") == []
    assert await listed(launchType="FARGATE") == await listed(containerInstance="x") == []
    assert await listed(desiredStatus="PENDING") == await listed(desiredStatus="STOPPED") == []
    await agent.client.call("StopTask", task=id_of(made))
    assert await listed(desiredStatus="STOPPED") == both[:1]
    assert await listed() == both[1:]


async def test_a_long_list_of_tasks_comes_in_pages(agent: Agent) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    ran = await agent.client.call("RunTask", taskDefinition="web", count=3)
    first = await agent.client.call("ListTasks", maxResults=2)
    rest = await agent.client.call("ListTasks", maxResults=2, nextToken=first["nextToken"])
    assert first["taskArns"] + rest["taskArns"] == [each["taskArn"] for each in ran["tasks"]]
    assert "nextToken" not in rest


async def test_the_cluster_counts_its_tasks(agent: Agent) -> None:
    made = await run(agent)
    await up(agent, made)
    cluster = (await agent.client.call("DescribeClusters"))["clusters"][0]
    assert (cluster["clusterName"], cluster["status"]) == ("default", "ACTIVE")
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (1, 0)
    assert cluster["registeredContainerInstancesCount"] == 1


async def test_an_unknown_cluster_is_missing(agent: Agent) -> None:
    answer = await agent.client.call("DescribeClusters", clusters=["default", "other"])
    assert [each["clusterArn"] for each in answer["clusters"]] == [CLUSTER]
    arn = "arn:aws:ecs:local:000000000000:cluster/other"
    assert answer["failures"] == [{"arn": arn, "reason": "MISSING"}]


async def test_a_task_goes_on_without_its_agent_and_is_taken_up_by_the_next(tmp_path: Path) -> None:
    async with running(tmp_path) as agent:
        made = await run(agent)
        await up(agent, made)
    task = next(iter(agent.desk.store.intents.values())).task
    assert agent.hosts.of(task).containers["web"].running is Running.RUNNING
    async with running(tmp_path, hosts=agent.hosts) as after:
        assert (await describe(after, made))["lastStatus"] == "RUNNING"
        await after.client.call("StopTask", task=made["taskArn"])
        assert (await over(after, made))["containers"][0]["exitCode"] == 143
