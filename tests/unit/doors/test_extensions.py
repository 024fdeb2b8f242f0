"""Hostler's own calls: watching a task, reading its logs, networks, the doctor."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent import VERSION
from agent.host.checkup.doctor import Alive
from agent.host.checkup.outcomes import Fact, Unseen
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.task import names
from agent.task.model import TaskId
from cni.errors import CNIError, Code
from tests.unit.doors.agents import Agent
from tests.unit.doors.client import Refused
from tests.unit.doors.test_tasks import id_of, over, run, up


async def test_a_task_is_watched_step_by_step_to_its_end(agent: Agent) -> None:
    task_id = id_of(await run(agent))
    steps: list[dict[str, Any]] = []
    closed, stopping = False, False
    while not closed:
        answer = await agent.client.ours(
            "WatchTask", task=task_id, since=len(steps), waitSeconds=10
        )
        assert answer["steps"] or answer["closed"], "waits until there is something to say"
        steps += answer["steps"]
        closed = answer["closed"]
        if not stopping and any(each["what"] == "running" for each in steps):
            stopping = True
            await agent.client.call("StopTask", task=task_id)
    whats = [each["what"] for each in steps]
    assert whats[0] == "accepted"
    order = [
        "created",
        "started",
        "running",
        "stopping",
        "signalled",
        "exited",
        "stopped",
        "closed",
    ]
    assert [each for each in whats if each in order] == order
    final = await agent.client.ours("WatchTask", task=task_id)
    assert final["task"]["lastStatus"] == "STOPPED"
    assert final["steps"] == steps


async def test_watching_a_task_without_news_ends_when_the_time_is_up(agent: Agent) -> None:
    made = await run(agent)
    await up(agent, made)
    async with asyncio.timeout(30):
        answer = await agent.client.ours(
            "WatchTask", task=id_of(made), since=1000, waitSeconds=0.05
        )
    assert answer["steps"] == []
    assert not answer["closed"]


async def test_an_unknown_task_can_not_be_watched(agent: Agent) -> None:
    with pytest.raises(Refused, match="not found") as caught:
        await agent.client.ours("WatchTask", task="f" * 32)
    assert caught.value.code == "InvalidParameterException"


def entry(second: int, text: str) -> str:
    time = f"2030-01-01T00:00:{second:02}.000000000Z"
    return json.dumps({"log": f"{text}\n", "stream": "stdout", "time": time}) + "\n"


def write_log(agent: Agent, task_id: str, *lines: str) -> None:
    path = agent.desk.settings.names.log(TaskId(task_id), "web")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(lines)


async def test_a_log_is_read_on_from_its_cursor(agent: Agent) -> None:
    task_id = id_of(await run(agent))
    write_log(agent, task_id, entry(1, "one"), entry(2, "two"))
    first = await agent.client.ours("GetLogs", task=task_id, container="web")
    assert [each["text"] for each in first["entries"]] == ["one\n", "two\n"]
    assert first["entries"][0]["stream"] == "stdout"
    write_log(agent, task_id, entry(3, "three"))
    rest = await agent.client.ours("GetLogs", task=task_id, container="web", cursor=first["cursor"])
    assert [each["text"] for each in rest["entries"]] == ["three\n"]


async def test_a_log_is_read_from_its_end_or_from_a_time(agent: Agent) -> None:
    task_id = id_of(await run(agent))
    write_log(agent, task_id, *(entry(each, str(each)) for each in range(5)))
    tail = await agent.client.ours("GetLogs", task=task_id, container="web", tail=2)
    since = await agent.client.ours(
        "GetLogs", task=task_id, container="web", sinceTime=1893456003.0
    )
    assert [each["text"] for each in tail["entries"]] == ["3\n", "4\n"]
    assert [each["text"] for each in since["entries"]] == ["3\n", "4\n"]


async def test_a_container_without_a_log_has_no_entries(agent: Agent) -> None:
    task_id = id_of(await run(agent))
    answer = await agent.client.ours("GetLogs", task=task_id, container="web")
    assert answer == {"entries": [], "cursor": ""}


@pytest.mark.parametrize(
    "wrong",
    [
        {"container": "wev"},
        {"container": "web", "sinceTime": -1},
        {"container": "web", "sinceTime": 1e300},
        {"container": "web", "cursor": "here"},
        {"container": "web", "tail": -1},
    ],
)
async def test_a_log_that_can_not_be_meant_is_refused(agent: Agent, wrong: dict[str, Any]) -> None:
    task_id = id_of(await run(agent))
    with pytest.raises(Refused) as caught:
        await agent.client.ours("GetLogs", task=task_id, **wrong)
    assert caught.value.code == "InvalidParameterException"


async def test_a_log_that_can_not_be_read_is_the_agents_fault(agent: Agent) -> None:
    task_id = id_of(await run(agent))
    path = agent.desk.settings.names.log(TaskId(task_id), "web")
    path.mkdir(parents=True)
    with pytest.raises(Refused, match="Is a directory") as caught:
        await agent.client.ours("GetLogs", task=task_id, container="web")
    assert (caught.value.status, caught.value.code) == (500, "ServerException")


async def test_a_watch_ends_at_once_when_the_task_is_closed(agent: Agent) -> None:
    made = await run(agent)
    await agent.client.call("StopTask", task=id_of(made))
    await over(agent, made)
    async with asyncio.timeout(30):
        answer = await agent.client.ours("WatchTask", task=id_of(made), since=1000, waitSeconds=60)
    assert answer["closed"]


async def test_a_running_tasks_network_is_described_until_it_is_over(agent: Agent) -> None:
    made = await run(agent)
    await up(agent, made)
    described = await agent.client.ours("DescribeNetworks")
    (attachment,) = described["attachments"]
    assert (attachment["taskArn"], attachment["containers"]) == (made["taskArn"], ["web"])
    assert [each["mode"] for each in described["networks"]] == ["bridge", "awsvpc"]
    await agent.client.call("StopTask", task=id_of(made))
    await over(agent, made)
    assert (await agent.client.ours("DescribeNetworks"))["attachments"] == []


async def test_what_is_wrong_with_the_host_is_told_and_stays_so(agent: Agent) -> None:
    agent.doctor.others = [Fact("kernel", "it is new"), Unseen("units", "systemd sleeps")]
    for _ in range(2):
        told = await agent.client.ours("Diagnose")
        assert told == {
            "findings": [
                {
                    "check": "orphans",
                    "what": "interface hv0 belongs to no task",
                    "cure": "mend it",
                    "severity": "error",
                }
            ],
            "facts": [{"check": "kernel", "what": "it is new"}],
            "unseen": [{"check": "units", "why": "systemd sleeps"}],
            "fixed": [],
            "version": VERSION,
        }


async def test_what_is_wrong_is_mended_when_asked(agent: Agent) -> None:
    told = await agent.client.ours("Diagnose", fix=True)
    assert (told["findings"], told["fixed"]) == ([], ["removed interface hv0"])


async def test_only_what_is_left_of_tasks_that_are_not_over_counts_as_alive(agent: Agent) -> None:
    first = await run(agent)
    await up(agent, first)
    await agent.client.call("StopTask", task=id_of(first))
    await over(agent, first)
    second = await run(agent, registered=True)
    await agent.client.ours("Diagnose")
    task_id = TaskId(id_of(second))
    known = (TaskId(id_of(first)), task_id)
    expected = Alive([task_id], [names.container_id(task_id, "web")], known)
    assert agent.doctor.asked == [expected]
    await agent.client.ours("Diagnose", fix=True)
    assert agent.doctor.asked == [expected] * 3


@pytest.mark.parametrize(
    "error",
    [
        CNIError(Code.IO_FAILURE, "netlink", "is unwell"),
        OSError("netlink: is unwell"),
        InterfacesExhausted("netlink: is unwell"),
        InterfaceError("netlink: is unwell"),
    ],
)
async def test_a_host_that_cant_be_mended_is_the_agents_fault(
    agent: Agent, error: Exception
) -> None:
    agent.doctor.error = error
    with pytest.raises(Refused, match="netlink: is unwell") as caught:
        await agent.client.ours("Diagnose", fix=True)
    assert (caught.value.status, caught.value.code) == (500, "ServerException")


async def test_whether_to_mend_is_yes_or_no(agent: Agent) -> None:
    with pytest.raises(Refused) as caught:
        await agent.client.ours("Diagnose", fix="maybe")
    assert caught.value.code == "InvalidParameterException"
    assert agent.doctor.asked == []
