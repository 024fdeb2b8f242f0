"""Which tasks fit this host beyond their size, and who gets which GPU."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.doors import placement
from agent.doors.placement import GpuRoom, Unfit
from agent.engine.feed import Picture
from agent.host.gpus.inventory import Gpu, Gpus
from agent.task.definition import TaskDefinition, read_task_definition
from agent.task.model import Intent, first_progress
from tests.unit.doors.agents import Agent
from tests.unit.doors.client import Refused
from tests.unit.doors.test_definitions import web
from tests.worlds import container, task

THREE = tuple(Gpu(f"x={each}", frozenset({f"x={each}"})) for each in "abc")
FOREIGN = "ARM64" if os.uname().machine == "x86_64" else "X86_64"


def definition(*counts: str, **fields: Any) -> TaskDefinition:
    """A task with a container for each count of GPUs; "" is for none."""
    containers = [
        {
            "name": f"c{number}",
            "image": "i",
            "memory": 64,
            "resourceRequirements": [{"type": "GPU", "value": count}] if count else [],
        }
        for number, count in enumerate(counts)
    ]
    whole = {"family": "gpu", "containerDefinitions": containers, **fields}
    return read_task_definition(whole).definition


def test_each_gpu_has_one_container() -> None:
    room = GpuRoom(THREE)
    wanted = definition("1", "", "1")
    assert placement.needs_gpus(wanted)
    assert room.choose(wanted) == {"c0": ("x=a",), "c2": ("x=b",)}
    assert room.choose(definition("1")) == {"c0": ("x=c",)}
    assert room.choose(definition("1")) == Unfit(
        "RESOURCE:GPU", "the task needs 1 GPUs: 0 of 3 GPUs are free"
    )


def test_who_asks_for_none_gets_none() -> None:
    assert not placement.needs_gpus(definition(""))
    assert GpuRoom(why="there are none").choose(definition("")) == {}


def test_without_any_the_cause_is_told() -> None:
    assert GpuRoom(why="not enabled").choose(definition("1")) == Unfit(
        "RESOURCE:GPU", "the task needs 1 GPUs: not enabled"
    )


def test_gpus_are_taken_until_nothing_is_left_of_their_task() -> None:
    made = replace(task(container("app")), gpus={"app": ("x=a", "x=b")})
    progress = first_progress(made)
    running = Picture(Intent(made), progress)
    over = Picture(Intent(made), replace(progress, closed_at=1.0))
    assert placement.claimed([running]) == {"x=a", "x=b"}
    assert placement.claimed([over]) == frozenset()
    room = GpuRoom(THREE, claimed=placement.claimed([running]))
    assert room.choose(definition("1")) == {"c0": ("x=c",)}


@pytest.mark.parametrize(
    ("wanted", "machine", "fits"),
    [
        ("X86_64", "x86_64", True),
        ("ARM64", "aarch64", True),
        ("ARM64", "x86_64", False),
        ("X86_64", "aarch64", False),
        (None, "riscv64", True),
    ],
)
def test_a_task_for_other_processors_has_no_place(
    wanted: str | None, machine: str, *, fits: bool
) -> None:
    platform = {"cpuArchitecture": wanted} if wanted else {"operatingSystemFamily": "LINUX"}
    found = placement.foreign(definition("", runtimePlatform=platform), machine)
    assert (found is None) is fits
    if found:
        assert found.reason == "ATTRIBUTE"
        assert str(wanted) in found.detail
        assert machine in found.detail


async def test_run_task_tells_why_there_is_no_place(agent: Agent) -> None:
    platform = {"cpuArchitecture": FOREIGN}
    await agent.client.call("RegisterTaskDefinition", **web(runtimePlatform=platform))
    answer = await agent.client.call("RunTask", taskDefinition="web")
    (failure,) = answer["failures"]
    assert (answer["tasks"], failure["reason"]) == ([], "ATTRIBUTE")
    assert FOREIGN in failure["detail"]
    gpu = [{"type": "GPU", "value": "1"}]
    await agent.client.call("RegisterTaskDefinition", **web())
    override = {"containerOverrides": [{"name": "web", "resourceRequirements": gpu}]}
    answer = await agent.client.call("RunTask", taskDefinition="web", overrides=override)
    (failure,) = answer["failures"]
    assert failure["reason"] == "RESOURCE:GPU"
    assert "ECS_ENABLE_GPU_SUPPORT" in failure["detail"]


async def test_an_override_can_not_ask_for_what_is_refused(agent: Agent) -> None:
    await agent.client.call("RegisterTaskDefinition", **web())
    wanted = [{"type": "InferenceAccelerator", "value": "eia"}]
    override = {"containerOverrides": [{"name": "web", "resourceRequirements": wanted}]}
    with pytest.raises(Refused, match="resourceRequirements"):
        await agent.client.call("RunTask", taskDefinition="web", overrides=override)


async def test_a_task_with_a_gpu_shows_its_id_and_keeps_it(tmp_path: Path, agent: Agent) -> None:
    edits = {"deviceNodes": [{"path": "/dev/null"}]}
    devices = [{"name": "GPU-7", "containerEdits": edits}]
    whole = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": devices}
    (tmp_path / "gpu.json").write_text(json.dumps(whole))
    object.__setattr__(agent.desk, "gpus", Gpus(True, (tmp_path,)))
    needy = web(container={"resourceRequirements": [{"type": "GPU", "value": "1"}]})
    await agent.client.call("RegisterTaskDefinition", **needy)
    first = await agent.client.call("RunTask", taskDefinition="web", count=2)
    (shown,) = first["tasks"]
    assert shown["containers"][0]["gpuIds"] == ["GPU-7"]
    (failure,) = first["failures"]
    assert "0 of 1 GPUs are free" in failure["detail"]
    kept = agent.desk.store.intents[shown["taskArn"].rpartition("/")[2]].task
    assert kept.gpus == {"web": ("nvidia.com/gpu=GPU-7",)}
