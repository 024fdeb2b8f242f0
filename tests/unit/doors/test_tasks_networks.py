"""RunTask in awsvpc mode, and what its interface looks like through the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.doors.admission import NetworkRules
from agent.task.capacity import Capacity
from tests.fakes.host import Device, FakeHosts
from tests.unit.doors.agents import Agent, running
from tests.unit.doors.client import Refused
from tests.unit.doors.test_definitions import web
from tests.unit.doors.test_tasks import HOST, describe, id_of, over, run, up

RULES = NetworkRules(known_subnets=("subnet-1", "subnet-2"), known_groups=("web", "db"))


def network(**fields: Any) -> dict[str, Any]:
    return {"awsvpcConfiguration": {"subnets": [], **fields}}


@asynccontextmanager
async def ready(
    folder: Path, rules: NetworkRules = RULES, mode: str = "awsvpc", **options: Any
) -> AsyncIterator[Agent]:
    """An agent with a definition in this network mode."""
    async with running(folder, networks=rules, **options) as agent:
        await agent.client.call("RegisterTaskDefinition", **web(networkMode=mode))
        yield agent


async def refused(agent: Agent, **fields: Any) -> str:
    with pytest.raises(Refused) as caught:
        await agent.client.call("RunTask", taskDefinition="web", **fields)
    assert caught.value.code == "InvalidParameterException"
    assert not agent.desk.store.intents
    return caught.value.message


async def test_a_task_has_its_interface_from_beginning_to_end(tmp_path: Path) -> None:
    async with ready(tmp_path) as agent:
        asked = network(subnets=["subnet-1"], securityGroups=["web"])
        made = await run(agent, registered=True, networkConfiguration=asked)
        assert made["attachments"][0]["status"] == "PRECREATED"
        shown = await up(agent, made)
        assert shown["attachments"][0]["status"] == "ATTACHED"
        interface = shown["containers"][0]["networkInterfaces"][0]
        assert interface["attachmentId"] == made["attachments"][0]["id"]
        kept = next(iter(agent.desk.store.intents.values())).task
        assert (kept.subnets, kept.groups) == (("subnet-1",), ("web",))
        await agent.client.call("StopTask", task=id_of(made))
        assert (await over(agent, made))["attachments"][0]["status"] == "DELETED"


async def test_an_interface_whose_device_is_awaited_is_attaching(tmp_path: Path) -> None:
    hosts = FakeHosts(device=Device(appears_after=None))
    async with ready(tmp_path, hosts=hosts) as agent:
        made = await run(agent, registered=True)
        await agent.until(id_of(made), lambda each: each.progress.interface is not None)
        shown = await describe(agent, made)
        assert (shown["lastStatus"], shown["attachments"][0]["status"]) == ("PENDING", "ATTACHING")
        await agent.client.call("StopTask", task=id_of(made))
        await over(agent, made)


async def test_other_modes_have_no_attachment(agent: Agent) -> None:
    made = await run(agent)
    assert (await up(agent, made))["attachments"] == []


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
async def test_a_network_configuration_is_for_awsvpc_only(tmp_path: Path, mode: str) -> None:
    async with ready(tmp_path, mode=mode) as agent:
        assert await refused(agent, networkConfiguration=network()) == (
            "Network Configuration is not valid for the given networkMode of this task definition."
        )
        assert await run(agent, registered=True, networkConfiguration={})


async def test_a_public_address_is_refused(tmp_path: Path) -> None:
    async with ready(tmp_path) as agent:
        asked = network(assignPublicIp="ENABLED")
        assert "assignPublicIp: ENABLED" in await refused(agent, networkConfiguration=asked)
        asked = network(assignPublicIp="DISABLED")
        assert await run(agent, registered=True, networkConfiguration=asked)


async def test_unknown_subnets_and_groups_are_refused_by_name(tmp_path: Path) -> None:
    async with ready(tmp_path) as agent:
        said = await refused(agent, networkConfiguration=network(subnets=["subnet-1", "subnet-9"]))
        assert said == (
            "The subnet 'subnet-9' does not exist on this host: it has subnet-1, subnet-2."
        )
        said = await refused(agent, networkConfiguration=network(securityGroups=["wbe"]))
        assert said == "The security group 'wbe' does not exist on this host: it has db, web."
        tags = [{"key": "hostler:security-groups", "value": "web,dbb"}]
        assert "'dbb'" in await refused(agent, tags=tags)


async def test_by_default_any_subnet_will_do_and_no_group_exists(tmp_path: Path) -> None:
    async with ready(tmp_path, NetworkRules()) as agent:
        said = await refused(agent, networkConfiguration=network(securityGroups=["web"]))
        assert said == "The security group 'web' does not exist on this host: it has none."
        asked = network(subnets=["subnet-0123"])
        assert await run(agent, registered=True, networkConfiguration=asked)


@pytest.mark.parametrize("mode", ["bridge", "none", "awsvpc"])
async def test_a_tag_gives_security_groups_in_any_mode_with_a_network(
    tmp_path: Path, mode: str
) -> None:
    tags = [{"key": "hostler:security-groups", "value": "web,db"}]
    async with ready(tmp_path, mode=mode) as agent:
        await run(agent, registered=True, tags=tags)
        kept = next(iter(agent.desk.store.intents.values())).task
        assert kept.groups == ("web", "db")


async def test_a_tag_can_not_guard_the_hosts_network(tmp_path: Path) -> None:
    tags = [{"key": "hostler:security-groups", "value": "web"}]
    async with ready(tmp_path, mode="host") as agent:
        assert "network mode host" in await refused(agent, tags=tags)


async def test_there_are_no_more_tasks_than_interfaces(tmp_path: Path) -> None:
    capacity = Capacity(memory_mib=4096, cpu_units=4096, interfaces=2)
    async with ready(tmp_path, capacity=capacity) as agent:
        answer = await agent.client.call("RunTask", taskDefinition="web", count=3)
        assert len(answer["tasks"]) == 2
        assert answer["failures"] == [{"arn": HOST, "reason": "RESOURCE:ENI"}]
        first = answer["tasks"][0]
        await agent.client.call("StopTask", task=id_of(first))
        await over(agent, first)
        assert await run(agent, registered=True)


async def test_a_client_token_repeated_with_another_network_is_a_conflict(tmp_path: Path) -> None:
    async with ready(tmp_path) as agent:
        asked = network(subnets=["subnet-1"])
        first = await run(agent, registered=True, clientToken="x", networkConfiguration=asked)
        again = await run(agent, registered=True, clientToken="x", networkConfiguration=asked)
        assert again["taskArn"] == first["taskArn"]
        with pytest.raises(Refused) as caught:
            await agent.client.call("RunTask", taskDefinition="web", clientToken="x")
        assert caught.value.code == "ConflictException"
