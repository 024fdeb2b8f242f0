"""DeregisterTaskDefinition, and what is INACTIVE after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.doors.agents import Agent, serving
from tests.unit.doors.client import Refused
from tests.unit.doors.test_definitions import ARN, register, web
from tests.unit.doors.test_tasks import describe, run, up


async def deregister(agent: Agent, name: str) -> dict[str, object]:
    answer = await agent.client.call("DeregisterTaskDefinition", taskDefinition=name)
    shown: dict[str, object] = answer["taskDefinition"]
    return shown


@pytest.mark.parametrize("name", ["web:1", f"{ARN}/web:1"])
async def test_a_deregistered_definition_is_inactive(agent: Agent, name: str) -> None:
    await register(agent, "web", "web", "db")
    shown = await deregister(agent, name)
    assert (shown["status"], shown["revision"]) == ("INACTIVE", 1)
    assert shown == await deregister(agent, name), "again changes nothing"
    found = await agent.client.call("DescribeTaskDefinition", taskDefinition="web:1")
    assert found["taskDefinition"] == shown
    active = await agent.client.call("ListTaskDefinitions")
    assert active["taskDefinitionArns"] == [f"{ARN}/db:1", f"{ARN}/web:2"]
    inactive = await agent.client.call("ListTaskDefinitions", status="INACTIVE")
    assert inactive["taskDefinitionArns"] == [f"{ARN}/web:1"]


async def test_a_family_means_its_newest_active_revision(agent: Agent) -> None:
    await register(agent, "web", "web")
    await deregister(agent, "web:2")
    found = await agent.client.call("DescribeTaskDefinition", taskDefinition="web")
    assert found["taskDefinition"]["revision"] == 1
    await deregister(agent, "web:1")
    with pytest.raises(Refused, match="Unable to describe task definition"):
        await agent.client.call("DescribeTaskDefinition", taskDefinition="web")
    await register(agent, "web")
    found = await agent.client.call("DescribeTaskDefinition", taskDefinition="web")
    assert found["taskDefinition"]["revision"] == 3, "no number is given twice"


async def test_no_new_task_uses_it_and_those_that_run_go_on(agent: Agent) -> None:
    made = await run(agent)
    await up(agent, made)
    await deregister(agent, "web:1")
    with pytest.raises(Refused, match="TaskDefinition is inactive") as caught:
        await agent.client.call("RunTask", taskDefinition="web:1")
    assert caught.value.code == "ClientException"
    assert (await describe(agent, made))["lastStatus"] == "RUNNING"


async def test_it_stays_inactive_under_the_next_agent(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent:
        await register(agent, "web")
        await deregister(agent, "web:1")
    async with serving(tmp_path) as agent:
        listed = await agent.client.call("ListTaskDefinitions", status="INACTIVE")
        assert listed["taskDefinitionArns"] == [f"{ARN}/web:1"]


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("web", "InvalidParameterException", "web has no revision; name one: FAMILY:REVISION"),
        ("web:2", "ClientException", "Unable to describe task definition"),
        ("db:1", "ClientException", "Unable to describe task definition"),
    ],
)
async def test_a_revision_that_is_there_must_be_named(
    agent: Agent, name: str, code: str, text: str
) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    with pytest.raises(Refused, match=text) as caught:
        await deregister(agent, name)
    assert caught.value.code == code
