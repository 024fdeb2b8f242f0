"""The metadata file as a program inside a real container reads it, and who is in its way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.host.containers import metadata_files
from tests.system.agent import Agent, running_agent
from tests.system.tasks import WAITS, Task, eventually, names_of, needs, run, shell

FILE = "ecs-container-metadata.json"
UNTIL_READY = 'until grep -q READY "$ECS_CONTAINER_METADATA_FILE"; do usleep 10000; done'
SHOW = f'{UNTIL_READY}; tr -d "\\n" < "$ECS_CONTAINER_METADATA_FILE"; echo'


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    settings = {
        "ECS_ENABLE_CONTAINER_METADATA": "true",
        "HOSTLER_AVAILABILITY_ZONE": "xx-test-1a",
        "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1s",
    }
    with running_agent(**settings) as agent:
        yield agent


def shown(task: Task, name: str = "app") -> Any:
    """What the container has read of itself."""
    return json.loads(task.until_log(name)[-1])


def test_a_container_reads_of_itself(agent: Agent) -> None:
    task = run(agent, shell("app", f"{SHOW}; {WAITS}", portMappings=[{"containerPort": 80}]))
    found = shown(task)
    (binding,) = task.container("app")["networkBindings"]
    assert found["TaskARN"] == task.arn
    assert (found["Cluster"], found["TaskDefinitionFamily"]) == ("default", "test")
    assert found["ContainerName"] == "app"
    assert found["ContainerID"] == task.container("app")["runtimeId"]
    assert found["ImageName"] == "hostler/hello"
    assert found["PortMappings"] == [
        {
            "ContainerPort": 80,
            "HostPort": binding["hostPort"],
            "BindIp": binding["bindIP"],
            "Protocol": "tcp",
        }
    ]
    (network,) = found["Networks"]
    assert network["NetworkMode"] == "bridge"
    task.end()


def test_it_can_be_read_by_any_user_and_changed_by_none(agent: Agent) -> None:
    change = f'touch "$(dirname "$ECS_CONTAINER_METADATA_FILE")"/x 2>&1; {SHOW}'
    for user in ("root", "65534:65534"):
        task = run(agent, shell("app", change, user=user))
        task.until_closed()
        assert "x: Read-only file system" in task.log("app")[0]
        assert json.loads(task.log("app")[-1])["TaskARN"] == task.arn


def test_nothing_is_left_after_the_clean_up(agent: Agent) -> None:
    task = run(agent, shell("app", SHOW))
    directory = names_of(agent).task_metadata_dir(task.id)
    task.until_closed()
    assert (directory / "app" / FILE).exists(), "it stays as long as the task is known"
    agent.restart()  # it looks at once for tasks to forget
    eventually(lambda: not directory.exists(), "removal", deadline_s=90)


def test_killed_between_start_and_ready(agent: Agent) -> None:
    """A directory where the draft would be keeps the first agent from completing the file."""
    gate = agent.root / "gate"
    gate.mkdir(exist_ok=True)
    mount = {"sourceVolume": "gate", "containerPath": "/gate"}
    task = run(
        agent,
        shell("first", "until [ -e /gate/open ]; do usleep 10000; done", essential=False)
        | {"mountPoints": [mount]},
        shell("app", f"echo up; {SHOW}; {WAITS}", dependsOn=needs("first", "SUCCESS")),
        volumes=[{"name": "gate", "host": {"sourcePath": str(gate)}}],
    )
    task.until_step("started", "first")
    directory = names_of(agent).metadata_dir(task.id, "app")
    # The first version, as it is written before the container: then nothing more can be.
    directory.mkdir(parents=True)
    (directory / FILE).write_text("{}")
    obstacle = metadata_files.draft_of(directory)
    obstacle.mkdir()
    (gate / "open").touch()
    task.until_running()
    task.until_log("app")
    eventually(lambda: "can't write the metadata file" in agent.said(), "the warning")
    assert (directory / FILE).read_text() == "{}"
    agent.kill9()
    obstacle.rmdir()
    agent.start()
    eventually(lambda: len(task.log("app")) > 1, "the complete file")
    assert json.loads(task.log("app")[-1])["ContainerID"] == task.container("app")["runtimeId"]
    task.end()


def test_without_the_setting_there_is_no_file() -> None:
    with running_agent() as agent:
        task = run(agent, shell("app", 'echo "[$ECS_CONTAINER_METADATA_FILE]"'))
        task.until_closed()
        assert task.log("app") == ["[]\n"]
        assert not names_of(agent).task_metadata_dir(task.id).exists()
