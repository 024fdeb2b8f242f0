"""Hostler's calls about images: list, inspect, load, pull, save, remove, clean up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from agent.task.model import TaskId
from tests.unit.doors.agents import Agent
from tests.unit.doors.client import Refused
from tests.unit.doors.imageroom import NOW

TASKS = frozenset({TaskId("1" * 32), TaskId("0" * 32)})


async def test_an_archive_is_loaded_and_its_images_are_listed(agent: Agent) -> None:
    answer = await agent.client.post(b"one two", path="/images")
    assert answer.json == {"images": ["one", "two"]}
    listed = await agent.client.ours("ListImages")
    assert [each["name"] for each in listed["images"]] == ["one", "two"]


async def test_an_archive_larger_than_any_request_is_loaded(agent: Agent) -> None:
    answer = await agent.client.post(b" " * (4 * 1024 * 1024) + b"one", path="/images")
    assert answer.json == {"images": ["one"]}


async def test_a_bad_archive_is_refused(agent: Agent) -> None:
    answer = await agent.client.post(b"", path="/images")
    assert (answer.status, answer.json["__type"]) == (400, "ClientException")
    assert answer.json["message"] == "the archive is empty"


async def test_without_containerd_the_images_are_the_agents_fault(agent: Agent) -> None:
    agent.images.away = True
    with pytest.raises(Refused, match="connection refused") as caught:
        await agent.client.ours("ListImages")
    assert (caught.value.status, caught.value.code) == (500, "ServerException")


async def test_every_name_of_an_image_is_listed_with_its_times_and_tasks(agent: Agent) -> None:
    agent.images.keep("x.io/b:1", "x.io/a:1", created_at=1.0, used_at=3.0)
    agent.images.tasks = {"x.io/b:1": TASKS}
    listed = (await agent.client.ours("ListImages"))["images"]
    facts = {
        "id": "sha256:id",
        "digest": "sha256:" + "0" * 64,
        "size": 7,
        "createdAt": 1.0,
        "pulledAt": NOW - 86400,
        "usedAt": 3.0,
        "tasks": 2,
    }
    assert listed == [{"name": "x.io/a:1", **facts}, {"name": "x.io/b:1", **facts}]


async def test_an_image_is_shown_whole(agent: Agent) -> None:
    kept = agent.images.keep("x.io/a:1")
    agent.images.tasks = {kept.digest: TASKS}
    shown = (await agent.client.ours("InspectImage", image="x.io/a:1"))["image"]
    assert (shown["names"], shown["platform"]) == (["x.io/a:1"], "linux/arm/v7")
    assert shown["tasks"] == sorted(TASKS)
    assert [each["size"] for each in shown["layers"]] == [7]
    assert shown["config"] == {
        "env": ["A=b"],
        "entrypoint": [],
        "cmd": ["/run"],
        "user": "",
        "workingDir": "",
        "labels": {"by": "us"},
        "exposedPorts": [],
        "volumes": [],
        "stopSignal": "SIGTERM",
        "healthCheck": {"Test": ["CMD", "/check"]},
    }
    assert (await agent.client.ours("InspectImage", image=kept.digest))["image"] == shown


@pytest.mark.parametrize("call", ["InspectImage", "RemoveImage"])
async def test_an_image_that_is_not_there_is_named(agent: Agent, call: str) -> None:
    with pytest.raises(
        Refused, match=r"there is no image x\.io/none: 'hostler image ls'"
    ) as caught:
        await agent.client.ours(call, image="x.io/none")
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameterException")
    with pytest.raises(Refused, match="image: Field required"):
        await agent.client.ours(call)


async def test_an_image_that_can_not_be_read_is_the_agents_fault(agent: Agent) -> None:
    agent.images.keep("x.io/a:1")
    agent.images.unreadable = "x.io/a:1"
    with pytest.raises(Refused, match="can't be read") as caught:
        await agent.client.ours("InspectImage", image="x.io/a:1")
    assert caught.value.status == 500
    answer = await got(agent, "/images/save?name=x.io/a:1")
    assert (answer[0], json.loads(answer[1])["__type"]) == (500, "ServerException")


@pytest.mark.parametrize(
    ("names", "text", "removed"),
    [
        (("x.io/a:1",), "x.io/a:1", ["x.io/a:1"]),
        (("x.io/a:1", "x.io/a@" + "sha256:" + "d" * 64), "x.io/a:1", None),
        (("x.io/a:1", "x.io/a:2"), "x.io/a:2", ["x.io/a:2"]),
        (("x.io/a:1", "x.io/a:2"), "sha256:" + "0" * 64, None),
        (
            ("x.io/a:1", "x.io/a@sha256:" + "d" * 64),
            "x.io/a@sha256:" + "d" * 64,
            ["x.io/a@sha256:" + "d" * 64],
        ),
    ],
)
async def test_an_image_goes_with_its_last_tag_or_its_digest(
    agent: Agent, names: tuple[str, ...], text: str, removed: list[str] | None
) -> None:
    agent.images.keep(*names)
    answer = await agent.client.ours("RemoveImage", image=text)
    whole = removed is None or len(removed) == len(names)
    assert answer == {"removed": removed or list(names), "freed": 100 if whole else 0}
    assert agent.images.removed == [tuple(removed or names)]


async def test_what_tasks_need_is_removed_by_force_only(agent: Agent) -> None:
    agent.images.keep("x.io/a:1")
    agent.images.tasks = {"x.io/a:1": TASKS}
    with pytest.raises(
        Refused, match=f"needed by tasks {'0' * 32}, {'1' * 32}: a task refers"
    ) as caught:
        await agent.client.ours("RemoveImage", image="x.io/a:1")
    assert (caught.value.status, caught.value.code) == (400, "ResourceInUseException")
    assert not agent.images.removed
    await agent.client.ours("RemoveImage", image="x.io/a:1", force=True)
    assert agent.images.removed == [("x.io/a:1",)]


async def test_what_a_pull_builds_on_is_not_removed(agent: Agent) -> None:
    agent.images.keep("x.io/a:1")
    agent.images.claimed = "x.io/a:1"
    with pytest.raises(Refused, match="in use by a pull or a load: try again") as caught:
        await agent.client.ours("RemoveImage", image="x.io/a:1", force=True)
    assert caught.value.code == "ResourceInUseException"


async def test_pruning_tells_of_every_image_and_does_it_unless_dry(agent: Agent) -> None:
    agent.images.keep("x.io/a:1")
    agent.images.keep("x.io/b:1")
    agent.images.tasks = {"x.io/b:1": TASKS}
    dry = await agent.client.ours("PruneImages", dryRun=True)
    assert not agent.images.removed
    assert dry == await agent.client.ours("PruneImages")
    assert agent.images.removed == [("x.io/a:1",)]
    assert dry["freed"] == 100
    first, second = dry["decisions"]
    assert first == {
        "names": ["x.io/a:1"],
        "digest": "sha256:" + "0" * 64,
        "size": 7,
        "removed": True,
        "why": "no task needs it, pulled 24 hours ago",
        "freed": 100,
    }
    assert (second["removed"], second["why"]) == (False, "2 tasks refer to it")


async def test_pruning_spares_what_is_young_and_may_follow_the_agents_own_rules(
    agent: Agent,
) -> None:
    for number in range(6):
        agent.images.keep(f"x.io/a:{number}", used_at=number)
    spared = await agent.client.ours("PruneImages", dryRun=True, olderThanSeconds=2 * 86400)
    assert not any(each["removed"] for each in spared["decisions"])
    own = await agent.client.ours("PruneImages", dryRun=True, scheduled=True)
    assert [each["removed"] for each in own["decisions"]] == [True] * 5 + [False]
    agent.images.away = True
    with pytest.raises(Refused, match="connection refused"):
        await agent.client.ours("PruneImages")


async def pulled(agent: Agent, image: object) -> list[dict[str, Any]]:
    """The lines of a pull's answer."""
    body = json.dumps({"image": image}).encode()
    answer = await agent.client.post(body, path="/images/pull")
    return [json.loads(line) for line in answer.body.splitlines()]


def pulls(name: str, state: str) -> dict[str, Any]:
    layer = {"digest": "sha256:1", "size": 10, "done": 5, "state": state}
    return {"pulls": [{"image": name, "layers": [layer]}]}


async def test_a_pull_tells_how_far_it_is_and_what_came_of_it(agent: Agent) -> None:
    lines = await pulled(agent, "web")
    name = "docker.io/library/web:latest"
    assert lines[-2:] == [
        pulls(name, "done"),
        {
            "image": {
                "name": name,
                "id": "sha256:id",
                "digest": "sha256:digest",
                "stop_signal": None,
            }
        },
    ]


async def test_a_pull_that_fails_says_why_in_its_last_line(agent: Agent) -> None:
    assert (await pulled(agent, "x.io/bad:1"))[-1] == {
        "__type": "CannotPullContainerError",
        "message": "x.io/bad:1: not found",
    }
    agent.images.away = True
    assert (await pulled(agent, "x.io/a:1"))[-1] == {
        "__type": "ServerException",
        "message": "Leases.Create(): connection refused",
    }


@pytest.mark.parametrize("image", [None, "", "Web", 7, "a b"])
async def test_what_is_no_name_is_not_pulled(agent: Agent, image: object) -> None:
    (line,) = await pulled(agent, image)
    assert line["__type"] == "InvalidParameterException"
    assert not agent.images.began.is_set()


async def test_a_pull_is_cancelled_when_who_asked_goes_away(agent: Agent) -> None:
    body = b'{"image": "x.io/slow:1"}'
    reader, writer = await asyncio.open_unix_connection(agent.socket)
    head = f"POST /images/pull HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(30):
        await reader.readuntil(b"downloading")
        assert not agent.images.cancelled.is_set()
        writer.close()
        await writer.wait_closed()
        await agent.images.cancelled.wait()
    assert await agent.client.call("ListTasks")


async def got(agent: Agent, path: str) -> tuple[int, bytes]:
    connector = aiohttp.UnixConnector(str(agent.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://hostler{path}") as answer,
    ):
        return answer.status, await answer.read()


async def test_images_are_saved_under_the_names_asked_for(agent: Agent) -> None:
    agent.images.keep("docker.io/library/a:latest")
    agent.images.keep("x.io/b:1")
    assert await got(agent, "/images/save?name=a&name=x.io/b:1") == (
        200,
        b"docker.io/library/a:latestx.io/b:1",
    )
    agent.images.keep("x.io/c:1", "x.io/c@sha256:" + "c" * 64)
    digest = "sha256:" + "0" * 63 + "2"
    assert await got(agent, f"/images/save?name={digest}") == (200, b"x.io/c:1")


@pytest.mark.parametrize(
    ("query", "said"), [("", "the images to save"), ("?name=none", "there is no image none")]
)
async def test_what_can_not_be_saved_is_said_before_anything_comes(
    agent: Agent, query: str, said: str
) -> None:
    status, body = await got(agent, f"/images/save{query}")
    assert (status, json.loads(body)["__type"]) == (400, "InvalidParameterException")
    assert said in json.loads(body)["message"]


async def test_an_archive_that_breaks_off_does_not_pass_for_a_whole_one(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.images.keep("x.io/a:1")
    agent.images.claimed = "x.io/a:1"
    with pytest.raises(aiohttp.ClientPayloadError):
        await got(agent, "/images/save?name=x.io/a:1")
    assert "no such blob" in caplog.text
