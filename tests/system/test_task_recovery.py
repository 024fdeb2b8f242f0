"""The agent's state is gone or damaged while tasks run: they are taken up from containerd."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.containerd.client import Containerd
from agent.host.cgroups.kernel import Cgroups
from agent.task import names
from cni.kernel.netns import NamespaceThread
from tests.system.agent import Agent, running_agent
from tests.system.rolelab import METADATA, ROLE, get, variables, write_roles
from tests.system.tasknet import link, namespace
from tests.system.tasks import (
    SERVES,
    WAITS,
    Task,
    containerd_socket,
    ctr,
    eventually,
    names_of,
    needs,
    output,
    run,
    shell,
)

NIC = f"k{os.getpid()}"
MAC = "02:00:00:00:04:01"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One end of a veth pair stands in for a NIC."""
    file = tmp_path_factory.mktemp("recovery") / "interfaces.json"
    file.write_text(json.dumps({"interfaces": [{"mac": MAC, "addresses": ["10.0.1.7/24"]}]}))
    pair = (NIC, "address", MAC, "type", "veth", "peer", "name", f"{NIC}x")
    output("ip", "link", "add", *pair)
    try:
        with running_agent(HOSTLER_ENIS=str(file)) as agent:
            yield agent
    finally:
        output("ip", "link", "delete", NIC)


def state(agent: Agent) -> Path:
    return Path(agent.settings["HOSTLER_STATE_DIR"]) / "state.db"


def deleted(path: Path) -> None:
    for each in path.parent.glob("state.*"):
        each.unlink()


def garbage(path: Path) -> None:
    for each in path.parent.glob("state.db*"):  # the log alone could restore it all
        each.write_bytes(b"\xa5" * 8192)


def bad_progress(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE progress SET body = '{}'")


def sick(agent: Agent) -> list[str]:
    """What the doctor finds, but for logs of tasks that earlier losses took."""
    return [each for each in agent.ailments() if each.startswith(("strays", "orphans"))]


SERVING = f"trap 'exit 9' TERM; httpd -p 8080 -h /etc; echo up; {WAITS}"


def served(task: Task) -> bytes:
    """What the task's container answers at the port it publishes."""
    (binding,) = task.container("app")["networkBindings"]
    url = f"http://127.0.0.1:{binding['hostPort']}/hostname"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("damage", [deleted, garbage, bad_progress])
def test_tasks_are_rebuilt_and_run_on(agent: Agent, damage: Callable[[Path], None]) -> None:
    task = run(
        agent,
        shell("init", "echo once; exit 5", essential=False),
        shell(
            "app",
            SERVING,
            dependsOn=needs("init", "COMPLETE"),
            portMappings=[{"containerPort": 8080}],
            environment=[{"name": "COLOUR", "value": "blue"}],
        ),
        family=f"rebuilt-{damage.__name__}",
    )
    other = run(agent, shell("app", f"echo up; {WAITS}"), networkMode="host")
    for each in (task, other):
        each.until_running()
        each.until_log("app")
    task.until_step("removed", "init")
    before, pids = task.shown(), [each.pid("app") for each in (task, other)]
    page = served(task)
    agent.kill9()
    damage(state(agent))
    start = len(agent.said())
    agent.start()
    assert f"task {task.id} (rebuilt-{damage.__name__}:1) was rebuilt" in agent.said()[start:]
    task.until_running()
    other.until_running()
    assert [each.pid("app") for each in (task, other)] == pids
    assert task.exit_codes() == {"init": 5, "app": None}
    assert served(task) == page
    after = task.shown()
    for field in ("taskArn", "taskDefinitionArn", "group", "createdAt", "overrides", "tags"):
        assert after.get(field) == before.get(field), field
    described = agent.call("DescribeTaskDefinition", taskDefinition=f"rebuilt-{damage.__name__}")
    assert described["taskDefinition"]["revision"] == 1
    assert "rebuilt" in [what for _, what in task.story()]
    assert sick(agent) == []
    agent.restart()  # now it is in the store
    assert task.shown()["lastStatus"] == "RUNNING"
    task.stop()
    assert task.until_closed()["stopCode"] == "UserInitiated"
    assert task.exit_codes() == {"init": 5, "app": 9}
    assert task.log("init") == ["once\n"], "it did not run twice"
    other.end()
    for each in (task, other):
        assert each.leftovers() == []
    assert run(agent, shell("app", "true")).until_closed()["stopCode"] == "EssentialContainerExited"


def test_a_task_keeps_its_interface_its_metadata_and_its_credentials(
    agent: Agent, thread: NamespaceThread
) -> None:
    write_roles(agent, "[default]\naws_access_key_id = AKIDLAB\naws_secret_access_key = s\n")
    definition = {
        "family": "own",
        "networkMode": "awsvpc",
        "taskRoleArn": ROLE,
        "containerDefinitions": [shell("app", SERVES)],
    }
    task = Task(agent, agent.run(definition))
    task.until_running()
    task.until_log("app")
    before, given = task.shown(), variables(task)
    agent.kill9()
    deleted(state(agent))
    agent.start()
    assert task.until_running()["attachments"] == before["attachments"]
    task.until_step("credentials")
    uri = given["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    about = given["ECS_CONTAINER_METADATA_URI_V4"].removeprefix("http://169.254.170.2")
    keys, found = (
        thread.call(namespace(task), partial(get, METADATA, path))
        for path in (uri, f"{about}/task")
    )
    assert (keys.status, keys.body["AccessKeyId"]) == (200, "AKIDLAB")
    assert (found.status, found.body["TaskARN"]) == (200, task.arn)
    assert found.body["Containers"][0]["Networks"][0]["IPv4Addresses"] == ["10.0.1.7"]
    task.end()
    assert task.leftovers() == []
    assert (link(NIC) or {})["address"] == MAC


def test_a_container_that_ended_meanwhile_keeps_its_exit_code(agent: Agent) -> None:
    folder = names_of(agent).run_dir
    script = "echo up; while ! [ -e /host/go ]; do sleep 0.1; done; exit 6"
    task = run(
        agent,
        shell("app", script, mountPoints=[{"sourceVolume": "host", "containerPath": "/host"}]),
        volumes=[{"name": "host", "host": {"sourcePath": str(folder)}}],
    )
    task.until_running()
    pid = task.pid("app")
    agent.kill9()
    deleted(state(agent))
    (folder / "go").touch()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "exit")
    (folder / "go").unlink()
    agent.start()
    closed = task.until_closed()
    assert task.exit_codes() == {"app": 6}
    assert closed["stopCode"] == "EssentialContainerExited"
    assert task.leftovers() == []


async def forget_what_it_is(agent: Agent, task: Task) -> None:
    """The container's record is as an older agent made it."""
    key = names.container_id(task.id, "app")
    async with Containerd(containerd_socket(agent), "hostler") as client:
        record = await client.containers.get(key)
        assert record.extensions
        await client.containers.delete(key)
        await client.containers.create(replace(record, extensions={}))


def gone(agent: Agent, task: Task) -> None:
    """Nothing of a task that the agent does not know is left."""
    key, of = names.container_id(task.id, "app"), names_of(agent)
    assert not of.task_dir(task.id).exists()
    assert not of.netns(task.id, "app").exists()
    listed = [*ctr(agent, "containers", "list"), *ctr(agent, "snapshots", "list")]
    assert not [line for line in listed if key in line]
    path = f"{agent.settings['HOSTLER_CGROUP_PARENT']}/{task.id}".lstrip("/")
    assert not [tree for tree in Cgroups().trees() if (tree / path).exists()]


def test_what_runs_and_can_not_be_rebuilt_is_left_to_the_operator(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap 'exit 0' TERM; echo up; {WAITS}"))
    task.until_log("app")
    pid = task.pid("app")
    agent.kill9()
    asyncio.run(forget_what_it_is(agent, task))
    deleted(state(agent))
    start = len(agent.said())
    agent.start()
    assert f"task {task.id} (app) is not known" in agent.said()[start:]
    assert agent.call("ListTasks")["taskArns"] == []
    found = agent.cli("doctor")
    assert found.returncode == 1
    assert f"strays: task {task.id} (app) is not known, and app runs" in found.stdout
    assert "orphans" not in found.stdout
    assert Path(f"/proc/{pid}").exists()
    fixed = agent.cli("doctor", "--fix")
    assert f"removed task {task.id} (app)" in fixed.stdout
    assert not Path(f"/proc/{pid}").exists()
    assert agent.ailments() == []
    gone(agent, task)


def test_what_does_not_run_and_can_not_be_rebuilt_is_removed(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap 'exit 0' TERM; echo up; {WAITS}"))
    task.until_log("app")
    pid = task.pid("app")
    agent.kill9()
    asyncio.run(forget_what_it_is(agent, task))
    deleted(state(agent))
    asyncio.run(kill(agent, task))
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "exit")
    start = len(agent.said())
    agent.start()
    said = agent.said()[start:]
    assert f"removed containers of task {task.id} (app)" in said
    gone(agent, task)
    assert sick(agent) == []


async def kill(agent: Agent, task: Task) -> None:
    key = names.container_id(task.id, "app")
    async with Containerd(containerd_socket(agent), "hostler") as client:
        await client.tasks.kill(key, 9)
        await client.tasks.wait(key, timeout=10)
