"""Which container starts and stops when, what each exit means for the task, and health."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, WAITS, Task, eventually, names_of, needs, run, shell, shims

LATE_S = 20.0
"""What is to happen at a time may happen so much later on a busy machine."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


def healthy_when(path: str, **fields: object) -> dict[str, object]:
    """A health check that succeeds while the file is there."""
    return {"command": ["CMD-SHELL", f"test -e {path}"], "interval": 5, "retries": 1, **fields}


def order_of(task: Task, what: str) -> list[str]:
    """The containers in the order in which this happened to them."""
    return [container for container, step in task.story() if step == what]


def test_each_condition_is_waited_for(agent: Agent) -> None:
    check = healthy_when("/tmp/ready", startPeriod=30)
    task = run(
        agent,
        shell(
            "app",
            SERVES,
            dependsOn=[
                {"containerName": "started", "condition": "START"},
                {"containerName": "completed", "condition": "COMPLETE"},
                {"containerName": "succeeded", "condition": "SUCCESS"},
                {"containerName": "healthy", "condition": "HEALTHY"},
            ],
        ),
        shell("started", SERVES, essential=False),
        shell("completed", "exit 3", essential=False),
        shell("succeeded", "exit 0", essential=False),
        shell("healthy", f"touch /tmp/ready; {SERVES}", essential=False, healthCheck=check),
    )
    for each in ("app", "started", "healthy"):
        task.until_log(each)
    task.stop()
    task.until_closed()
    begun = task.at("app", "created")
    assert task.at("started", "started") <= begun
    assert task.at("completed", "exited", "3") <= begun
    assert task.at("succeeded", "exited", "0") <= begun
    assert task.at("healthy", "healthy") <= begun
    codes = {"app": 0, "started": 0, "completed": 3, "succeeded": 0, "healthy": 0}
    assert task.exit_codes() == codes
    assert task.leftovers() == []


def test_a_chain_starts_in_order_and_stops_in_reverse(agent: Agent) -> None:
    slow = f"trap 'sleep 0.2; exit 0' TERM; echo up; {WAITS}"
    task = run(
        agent,
        shell("c", slow, dependsOn=needs("b", "START")),
        shell("b", slow, dependsOn=needs("a", "START")),
        shell("a", slow),
    )
    for each in ("a", "b", "c"):
        task.until_log(each)
    task.stop()
    task.until_closed()
    assert order_of(task, "started") == ["a", "b", "c"]
    assert order_of(task, "exited") == ["c", "b", "a"]
    for dependent, dependency in (("c", "b"), ("b", "a")):
        assert task.at(dependent, "exited") <= task.at(dependency, "signalled")


@pytest.mark.parametrize(("condition", "script"), [("SUCCESS", "exit 3"), ("HEALTHY", "exit 0")])
def test_a_hopeless_dependency_ends_the_task_with_143(
    agent: Agent, condition: str, script: str
) -> None:
    reason = "CannotStartContainerError: dependency graph: container init"
    check = {"healthCheck": healthy_when("/never")} if condition == "HEALTHY" else {}
    task = run(
        agent,
        shell("init", script, essential=False, **check),
        shell("app", "echo ran", dependsOn=needs("init", condition)),
    )
    shown = task.until_closed()
    assert shown["stopCode"] == "TaskFailedToStart"
    assert reason in shown["stoppedReason"]
    app = task.container("app")
    assert (app["exitCode"], app["lastStatus"]) == (143, "STOPPED")
    assert reason in app["reason"]
    assert task.log("app") == []


def test_start_timeout_ends_the_wait(agent: Agent) -> None:
    task = run(
        agent,
        shell("init", SERVES, essential=False, startTimeout=2, stopTimeout=2),
        shell("app", "exit 0", dependsOn=needs("init", "SUCCESS")),
    )
    shown = task.until_closed()
    waited = task.at("app", "gave up") - task.at("init", "started")
    assert 2.0 <= waited < 2.0 + LATE_S, task
    assert "startTimeout of 2s" in shown["stoppedReason"]


def test_an_essential_container_takes_the_task_with_it(agent: Agent) -> None:
    task = run(agent, shell("side", SERVES, stopTimeout=2), shell("app", "exit 7"))
    shown = task.until_closed()
    assert shown["stopCode"] == "EssentialContainerExited"
    assert shown["stoppedReason"] == "Essential container in task exited"
    assert task.container("app")["exitCode"] == 7


def test_the_task_outlives_what_is_not_essential(agent: Agent) -> None:
    task = run(agent, shell("side", "exit 4", essential=False), shell("app", SERVES))
    task.until_step("removed", "side")
    task.until_running()
    assert task.exit_codes() == {"app": None, "side": 4}
    task.until_log("app")
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0, "side": 4}


def test_a_process_ended_by_a_signal_has_a_shells_exit_code(agent: Agent) -> None:
    # The first process of a pid namespace is spared its own signals, so a child does it.
    task = run(agent, shell("app", "sh -c 'kill -ABRT $$'; exit $?"))
    task.until_closed()
    assert task.exit_codes() == {"app": 134}


def test_a_task_becomes_healthy_and_unhealthy_again(agent: Agent, tmp_path: Path) -> None:
    check = {**healthy_when("/go/ready", startPeriod=20), "interval": 10}
    mount = {"sourceVolume": "go", "containerPath": "/go"}
    task = run(
        agent,
        shell("app", SERVES, healthCheck=check, mountPoints=[mount]),
        volumes=[{"name": "go", "host": {"sourcePath": str(tmp_path)}}],
    )
    (tmp_path / "ready").touch()
    task.until_step("healthy", "app")
    assert task.shown()["healthStatus"] == "HEALTHY"
    (tmp_path / "ready").unlink()
    task.until_step("unhealthy", "app")
    shown = task.shown()
    assert shown["healthStatus"] == task.container("app")["healthStatus"] == "UNHEALTHY"
    assert shown["lastStatus"] == "RUNNING", "an agent alone does not stop an unhealthy task"
    asked = task.at("app", "healthy") - task.at("app", "started")
    assert asked < 10.0, "in the start period it is asked more often"
    task.end()
    assert task.leftovers() == []


def test_a_probe_that_hangs_is_ended_by_its_timeout(agent: Agent) -> None:
    check = {"command": ["CMD-SHELL", "sleep 60"], "interval": 5, "timeout": 7, "retries": 1}
    task = run(agent, shell("app", SERVES, healthCheck=check))
    task.until_step("unhealthy", "app")
    judged = task.at("app", "unhealthy") - task.at("app", "started")
    assert 11.5 < judged < 12.0 + LATE_S, "without a timeout of its own it would be 10"
    task.end()
    assert task.leftovers() == []


def test_what_a_probe_prints_is_shown(agent: Agent) -> None:
    check = {"command": ["CMD-SHELL", "echo first; echo last >&2"], "interval": 5}
    ask = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4"
    script = f"until {ask} | grep last; do sleep 0.1; done"
    task = run(agent, shell("app", script, healthCheck=check))
    task.until_closed()
    output = json.loads("".join(task.log("app")))["Health"]["output"]
    assert sorted(output.splitlines()) == ["first", "last"], "two pipes keep no order"


def test_what_a_probe_prints_fills_no_disk(agent: Agent) -> None:
    command = ["CMD-SHELL", "head -c 50000000 /dev/zero; sleep 60"]
    check = {"command": command, "interval": 5, "timeout": 2, "retries": 1}
    task = run(agent, shell("app", SERVES, healthCheck=check))
    folder, largest = names_of(agent).container_dir(task.id, "app"), 0

    def judged() -> bool:
        nonlocal largest
        with suppress(FileNotFoundError):  # it may go while it is looked at
            for path in folder.glob("probe-*"):
                largest = max(largest, path.stat().st_size)
        return bool(task.shown()["healthStatus"] == "UNHEALTHY")

    eventually(judged, "the probe's end")
    assert largest == 0
    task.end()
    assert task.leftovers() == []


def test_a_shim_that_is_killed_leaves_no_socket(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES))
    task.until_running()
    (shim,) = map(psutil.Process, shims(agent))
    sockets = {str(each.laddr) for each in shim.net_connections("unix")} - {""}
    assert sockets
    shim.kill()
    task.until_closed()
    assert task.container("app")["reason"].startswith("ContainerVanishedError")
    assert not [each for each in sockets if Path(each).exists()]


def test_containers_that_start_together_share_one_shim(agent: Agent) -> None:
    together = [shell(name, SERVES) for name in ("a", "b", "c", "d")]
    tasks = [run(agent, *together, family=f"crowd-{number}") for number in range(6)]
    for task in tasks:
        task.until_running()
        assert "retrying" not in {what for _, what in task.story()}, task
    # Those of tasks that are closed end a moment later.
    eventually(lambda: len(shims(agent)) == len(tasks), "a shim for each")
    for task in tasks:
        task.stop(force=True)
    for task in tasks:
        task.until_closed()
        assert task.leftovers() == []
    eventually(lambda: shims(agent) == [], "the shims' end")
