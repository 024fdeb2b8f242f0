"""Pulls as they are watched."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agent.doors.pulls import awaited, shown, under_way
from agent.host.images.pulls import LayerProgress, LayerState, Pull
from agent.task.model import first_progress
from agent.task.records import Pin
from tests.fakes.host import FakeHosts, Supply
from tests.unit.doors.agents import running
from tests.unit.doors.test_tasks import id_of, run
from tests.worlds import IMAGE, container, task

IMAGE_NAME = "docker.io/library/busybox:latest"


def test_what_containers_wait_for() -> None:
    made = task(
        container("a", image="web"),
        container("b", image="docker.io/library/web:latest"),
        container("c", image="other:1"),
        container("d", image="Not a name"),
        container("e", image="had"),
        container("f", image="ended"),
    )
    progress = first_progress(made).having("e", image=IMAGE).having("f", ended=True)
    names = {"docker.io/library/web:latest", "docker.io/library/other:1"}
    assert awaited(made, progress) == names


def test_a_pull_is_under_way_until_the_image_is_there() -> None:
    first = first_progress(task(container("a")))
    pinned = first.having("a", pin=Pin("sha256:1"))
    assert under_way(pinned)
    assert not under_way(first)
    assert not under_way(pinned.having("a", image=IMAGE))
    assert not under_way(pinned.having("a", ended=True))


def test_a_pull_is_shown_layer_by_layer() -> None:
    layers = [
        LayerProgress("sha256:a", 10, LayerState.HERE, 10),
        LayerProgress("sha256:b", 20, LayerState.DOWNLOADING, 5),
    ]
    assert shown([Pull("x:1", layers), Pull("y:1")]) == [
        {
            "image": "x:1",
            "layers": [
                {"digest": "sha256:a", "size": 10, "done": 10, "state": "already here"},
                {"digest": "sha256:b", "size": 20, "done": 5, "state": "downloading"},
            ],
        },
        {"image": "y:1", "layers": []},
    ]


async def test_who_watches_a_task_sees_the_pulls_it_waits_for(tmp_path: Path) -> None:
    slow = FakeHosts(clock=time.time, images=Supply(asked=True, takes=1000.0))
    async with running(tmp_path, hosts=slow) as agent:
        made = id_of(await run(agent))
        await agent.until(made, lambda each: each.progress.pull_started_at is not None)
        quiet = await agent.client.ours("WatchTask", task=made)
        assert quiet["pulls"] == []
        assert "pulling" in {each["what"] for each in quiet["steps"]}
        with agent.pulls.begin(IMAGE_NAME), agent.pulls.begin("another:1"):
            async with asyncio.timeout(30):
                seen = await agent.client.ours("WatchTask", task=made, since=1000, waitSeconds=60)
            assert seen["pulls"] == [{"image": IMAGE_NAME, "layers": []}]
        await agent.client.call("StopTask", task=made)
        ended = await agent.until(made, lambda each: each.progress.closed)
        assert ended.progress.stop is not None
        assert ended.progress.stop.reason == "Task stopped by user"


async def test_a_task_that_has_its_images_waits_for_no_pull(tmp_path: Path) -> None:
    quick = FakeHosts(clock=time.time, images=Supply())
    async with running(tmp_path, hosts=quick) as agent:
        made = id_of(await run(agent))
        await agent.until(made, lambda each: each.progress.started_at is not None)
        with agent.pulls.begin(IMAGE_NAME):
            seen = await agent.client.ours("WatchTask", task=made)
        assert seen["pulls"] == [], "its containers have their images"
        await agent.client.call("StopTask", task=made)
        await agent.until(made, lambda each: each.progress.closed)
