"""RegisterTaskDefinition, DescribeTaskDefinition and ListTaskDefinitions, as boto3 sees them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.doors import definitions
from agent.settings import Settings
from tests.unit.doors.agents import Agent, serving
from tests.unit.doors.client import Refused

ARN = "arn:aws:ecs:local:000000000000:task-definition"


def web(**fields: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "busybox", "memory": 64, **fields.pop("container", {})}
    return {"family": "web", "containerDefinitions": [container], **fields}


async def register(agent: Agent, *families: str) -> None:
    for family in families:
        await agent.client.call("RegisterTaskDefinition", **web(family=family))


async def test_a_registered_definition_is_described_with_what_ecs_adds(agent: Agent) -> None:
    tags = [{"key": "team", "value": "shop"}]
    answer = await agent.client.call("RegisterTaskDefinition", **web(cpu="256", tags=tags))
    shown = answer["taskDefinition"]
    assert shown["taskDefinitionArn"] == f"{ARN}/web:1"
    assert (shown["family"], shown["revision"], shown["status"]) == ("web", 1, "ACTIVE")
    assert isinstance(shown["registeredAt"], datetime)
    assert shown["cpu"] == "256"
    container = shown["containerDefinitions"][0]
    assert (container["name"], container["essential"], container["cpu"]) == ("web", True, 0)
    assert container["environment"] == container["mountPoints"] == container["volumesFrom"] == []
    assert answer["tags"] == tags


async def test_what_is_described_can_be_registered_again(agent: Agent) -> None:
    given = web(
        cpu=".25 vCPU",
        volumes=[{"name": "data", "host": {}}],
        container={
            "portMappings": [{"containerPort": 80, "hostPort": 0}],
            "healthCheck": {"command": ["CMD", "true"]},
            "environment": [{"name": "A", "value": "1"}],
        },
    )
    await agent.client.call("RegisterTaskDefinition", **given)
    first = await agent.client.call("DescribeTaskDefinition", taskDefinition="web")
    described = first["taskDefinition"]
    for made_by_ecs in (
        *("taskDefinitionArn", "revision", "status", "registeredAt", "compatibilities"),
    ):
        described.pop(made_by_ecs)
    await agent.client.call("RegisterTaskDefinition", **described)
    second = await agent.client.call("DescribeTaskDefinition", taskDefinition="web:2")
    assert second["taskDefinition"]["revision"] == 2
    same = {"containerDefinitions", "volumes", "cpu"}
    assert {key: second["taskDefinition"][key] for key in same} == {
        key: described[key] for key in same
    }


@pytest.mark.parametrize("name", ["web", "web:2", f"{ARN}/web:2"])
async def test_a_definition_is_found_by_family_revision_or_arn(agent: Agent, name: str) -> None:
    await register(agent, "web", "web", "other")
    answer = await agent.client.call("DescribeTaskDefinition", taskDefinition=name)
    assert answer["taskDefinition"]["revision"] == 2


@pytest.mark.parametrize(
    "name", ["db", "web:9", "web:x", "web:", "web:²", "web:01", "web:-1", "web:" + "9" * 5000]
)
async def test_an_unknown_definition_is_refused(agent: Agent, name: str) -> None:
    await register(agent, "web")
    with pytest.raises(Refused, match="Unable to describe task definition") as caught:
        await agent.client.call("DescribeTaskDefinition", taskDefinition=name)
    assert (caught.value.status, caught.value.code) == (400, "ClientException")


async def test_tags_are_shown_when_they_are_asked_for(agent: Agent) -> None:
    tags = [{"key": "team", "value": "shop"}]
    await agent.client.call("RegisterTaskDefinition", **web(tags=tags))
    plain = await agent.client.call("DescribeTaskDefinition", taskDefinition="web")
    full = await agent.client.call("DescribeTaskDefinition", taskDefinition="web", include=["TAGS"])
    assert plain["tags"] == []
    assert full["tags"] == tags


async def test_every_problem_of_a_definition_is_named(agent: Agent) -> None:
    needs = [{"containerName": "nobody", "condition": "START"}]
    bad = web(container={"memory": 1, "dependsOn": needs})
    with pytest.raises(Refused) as caught:
        await agent.client.call("RegisterTaskDefinition", **bad)
    assert caught.value.code == "ClientException"
    assert "containerDefinitions[0].memory" in caught.value.message
    assert "containerDefinitions[0].dependsOn[0]" in caught.value.message


async def test_a_feature_that_would_be_ignored_is_refused(agent: Agent) -> None:
    proxy = {"containerName": "web", "properties": []}
    meshed = web(networkMode="awsvpc", proxyConfiguration=proxy)
    with pytest.raises(Refused, match="proxyConfiguration: is not supported"):
        await agent.client.call("RegisterTaskDefinition", **meshed)
    assert not agent.desk.store.definitions


async def test_what_makes_no_difference_is_warned_of(agent: Agent) -> None:
    idle = web(container={"linuxParameters": {"swappiness": 10}})
    answer = await definitions.register_task_definition(agent.desk, idle)
    (warning,) = answer["warnings"]  # which boto3 does not show
    assert warning.endswith("linuxParameters.swappiness: has no effect without maxSwap")


async def test_definitions_are_listed_by_family_and_revision_in_both_directions(
    agent: Agent,
) -> None:
    await register(agent, "web", "db", "web")
    up = await agent.client.call("ListTaskDefinitions")
    down = await agent.client.call("ListTaskDefinitions", sort="DESC")
    assert up["taskDefinitionArns"] == [f"{ARN}/db:1", f"{ARN}/web:1", f"{ARN}/web:2"]
    assert down["taskDefinitionArns"] == up["taskDefinitionArns"][::-1]
    assert "nextToken" not in up


async def test_definitions_are_listed_by_whole_family_and_status(agent: Agent) -> None:
    await register(agent, "web", "webshop")
    of_web = await agent.client.call("ListTaskDefinitions", familyPrefix="web")
    inactive = await agent.client.call("ListTaskDefinitions", status="INACTIVE")
    assert of_web["taskDefinitionArns"] == [f"{ARN}/web:1"]
    assert inactive["taskDefinitionArns"] == []


async def test_a_long_listing_comes_in_pages(agent: Agent) -> None:
    await register(agent, *["web"] * 5)
    found: list[str] = []
    token: dict[str, str] = {}
    for _ in range(3):
        page = await agent.client.call("ListTaskDefinitions", maxResults=2, **token)
        found += page["taskDefinitionArns"]
        token = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert not token
    assert found == [f"{ARN}/web:{number}" for number in range(1, 6)]


async def test_privileged_containers_are_refused_where_the_host_does_not_want_them(
    tmp_path: Path,
) -> None:
    containers = [{**web()["containerDefinitions"][0], "privileged": True}]
    async with serving(tmp_path) as agent:
        await agent.client.call("RegisterTaskDefinition", **web(containerDefinitions=containers))
    async with serving(tmp_path, given=replace(Settings(), privileged_disabled=True)) as agent:
        for name, body in (
            ("RegisterTaskDefinition", web(containerDefinitions=containers)),
            ("RunTask", {"taskDefinition": "web"}),
        ):
            with pytest.raises(Refused) as refused:
                await agent.client.call(name, **body)
            assert (refused.value.status, refused.value.code) == (400, "ClientException")
            assert "ECS_DISABLE_PRIVILEGED" in refused.value.message
        await agent.client.call("RegisterTaskDefinition", **web())
        assert (await agent.client.call("RunTask", taskDefinition="web"))["tasks"]
