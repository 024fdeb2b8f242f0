"""GPUs by CDI specifications, which here describe ordinary devices of the host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, Json, Task, run, shell

KIND = "example.com/gpu"
FAMILY = {"family": "gpu"}


def gpu(name: str, host_path: str, path: str) -> Json:
    nodes = [{"path": path, "hostPath": host_path, "permissions": "rw"}]
    return {"name": name, "containerEdits": {"deviceNodes": nodes, "env": [f"OWN={name}"]}}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("cdi")
    driver = folder / "driver"
    driver.write_text("a driver's library\n")
    hook = folder / "hook"
    hook.write_text(f"#!/bin/sh\ncat > {folder}/state\necho $SAYS > {folder}/hooked\n")
    hook.chmod(0o755)
    common = {
        "env": ["NVIDIA_VISIBLE_DEVICES=void"],
        "mounts": [
            {"hostPath": str(driver), "containerPath": "/usr/lib/driver", "options": ["ro"]}
        ],
        "hooks": [
            {
                "hookName": "createContainer",
                "path": str(hook),
                "args": ["hook"],
                "env": ["SAYS=hello"],
            }
        ],
        "additionalGids": [4321],
    }
    specification = {
        "cdiVersion": "0.7.0",
        "kind": KIND,
        "containerEdits": common,
        "devices": [
            gpu("0", "/dev/null", "/dev/gpu0"),
            gpu("GPU-null", "/dev/null", "/dev/gpu0"),
            gpu("GPU-fuse", "/dev/fuse", "/dev/gpu1"),
        ],
    }
    (folder / "gpu.json").write_text(json.dumps(specification))
    with running_agent(ECS_ENABLE_GPU_SUPPORT="true", HOSTLER_CDI_DIRS=str(folder)) as agent:
        yield agent


def wanting(name: str, script: str, **fields: object) -> Json:
    needed = [{"type": "GPU", "value": "1"}]
    return shell(name, script, resourceRequirements=needed, **fields)


def test_each_container_gets_a_gpu_of_its_own_and_what_belongs_to_it(
    agent: Agent, tmp_path: Path
) -> None:
    script = """
    echo $NVIDIA_VISIBLE_DEVICES $OWN; ls /dev | grep gpu; cat /usr/lib/driver; id -G
    dd if=/dev/zero of=/dev/gpu0 count=1 2>/dev/null && echo written
    mknod /tmp/same c 10 229 && dd if=/tmp/same count=0 2>/dev/null || echo not that one
    """
    one = wanting("one", script)
    two = wanting("two", f"echo $NVIDIA_VISIBLE_DEVICES; ls /dev | grep gpu; {SERVES}")
    task = run(agent, one | {"essential": False}, two, shell("none", f"ls /dev; {SERVES}"))
    task.until_running()
    task.until_step("removed", "one")  # its log is complete
    assert task.log("one") == [
        "GPU-null GPU-null\n",
        "gpu0\n",
        "a driver's library\n",
        "0 4321\n",
        "written\n",
        "not that one\n",
    ]
    assert task.until_log("two", lines=2)[:2] == ["GPU-fuse\n", "gpu1\n"]
    assert "gpu" not in "".join(task.until_log("none"))
    shown = {each["name"]: each.get("gpuIds") for each in task.shown()["containers"]}
    assert shown == {"one": ["GPU-null"], "two": ["GPU-fuse"], "none": None}
    folder = Path(agent.settings["HOSTLER_CDI_DIRS"])
    assert (folder / "hooked").read_text() == "hello\n"
    assert json.loads((folder / "state").read_text())["ociVersion"]
    task.end()
    assert task.leftovers() == []


def test_a_gpu_is_free_again_when_nothing_is_left_of_its_task(agent: Agent) -> None:
    holder = run(agent, wanting("app", SERVES), wanting("side", SERVES), **FAMILY)
    holder.until_running()
    agent.restart()
    answer = agent.call("RunTask", taskDefinition="gpu")
    (failure,) = answer["failures"]
    assert failure["reason"] == "RESOURCE:GPU"
    assert "0 of 2 GPUs are free" in failure["detail"]
    refused = agent.cli("run", "gpu")
    assert "the task needs 2 GPUs: 0 of 2 GPUs are free" in refused.stderr
    holder.end()
    other = run(agent, shell("app", "true"), **FAMILY)
    other.until_closed()
    needed = [{"name": "app", "resourceRequirements": [{"type": "GPU", "value": "2"}]}]
    answer = agent.call("RunTask", taskDefinition="gpu", overrides={"containerOverrides": needed})
    (made,) = answer["tasks"]
    assert made["containers"][0]["gpuIds"] == ["GPU-null", "GPU-fuse"]
    Task(agent, made["taskArn"]).until_closed()
