"""The agent is killed, or restarted, at any moment: tasks come to the same end, nothing is left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, WAITS, Task, eventually, run, shell

DELAYS_MS = (0, 5, 12, 20, 30, 42, 55, 70, 90, 120, 180, 300)
"""From the moment that something was asked for; it takes about 50 ms to start, 30 to stop."""

STEPS = ("accepted", "image", "network", "created", "started", "exited", "removed")


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@pytest.fixture(scope="module")
def neighbour(agent: Agent) -> Task:
    """A task that must live through all of it."""
    task = run(agent, shell("app", f"trap 'exit 4' TERM; {WAITS}"), family="neighbour")
    task.until_running()
    return task


@pytest.fixture(autouse=True)
def undisturbed(neighbour: Task) -> Iterator[None]:
    pid = neighbour.pid("app")
    yield
    assert neighbour.shown()["lastStatus"] == "RUNNING", neighbour
    assert neighbour.pid("app") == pid


def two_containers(agent: Agent) -> Task:
    """One that runs until SIGTERM, with a published port, and one that soon exits."""
    return run(
        agent,
        shell("app", f"trap 'exit 9' TERM; echo up; {WAITS}", portMappings=[{"containerPort": 80}]),
        shell("side", "echo side; sleep 0.1; exit 3", essential=False),
    )


def crash(agent: Agent) -> None:
    agent.kill9()
    agent.start()


def same_end(task: Task) -> None:
    """The task has come to the end that it comes to without crashes, and is gone from the host."""
    shown = task.until_closed()
    assert (shown["lastStatus"], shown["stopCode"]) == ("STOPPED", "UserInitiated"), task
    assert task.exit_codes() == {"app": 9, "side": 3}, task
    assert task.log("app") == ["up\n"]
    assert task.log("side") == ["side\n"]
    assert task.leftovers() == []


def pause(milliseconds: int) -> None:
    threading.Event().wait(milliseconds / 1000)


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
def test_killed_while_a_task_starts(agent: Agent, delay_ms: int) -> None:
    task = two_containers(agent)
    pause(delay_ms)
    crash(agent)
    task.until_running()
    task.until_log("app")
    task.until_step("removed", "side")
    task.stop()
    same_end(task)


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
def test_killed_while_a_task_stops(agent: Agent, delay_ms: int) -> None:
    task = two_containers(agent)
    task.until_running()
    task.until_log("app")
    task.until_step("removed", "side")
    task.stop()
    pause(delay_ms)
    crash(agent)
    same_end(task)


@pytest.mark.parametrize("what", STEPS)
def test_killed_right_after_a_step(agent: Agent, what: str) -> None:
    task = two_containers(agent)
    task.until_step(what)
    crash(agent)
    task.until_running()
    task.until_log("app")
    task.until_step("removed", "side")
    task.stop()
    same_end(task)


@pytest.mark.parametrize("what", ["stopping", "signalled", "exited", "removed", "detached"])
def test_killed_right_after_a_step_down(agent: Agent, what: str) -> None:
    task = two_containers(agent)
    task.until_running()
    task.until_log("app")
    task.until_step("removed", "side")
    task.stop()
    task.until_step(what, "" if what == "stopping" else "app")
    crash(agent)
    same_end(task)


def test_an_exit_while_there_is_no_agent_is_noticed(agent: Agent) -> None:
    script = "until [ -e /go/now ]; do usleep 20000; done; echo gone; exit 7"
    go = agent.root / "go"
    go.mkdir()
    mount = {"sourceVolume": "go", "containerPath": "/go"}
    volume = {"name": "go", "host": {"sourcePath": str(go)}}
    task = run(agent, shell("app", script, mountPoints=[mount]), volumes=[volume])
    task.until_running()
    agent.kill9()
    exited_by = time.time() + 1
    (go / "now").touch()
    pause(500)
    agent.start()
    shown = task.until_closed()
    assert shown["stopCode"] == "EssentialContainerExited"
    assert task.exit_codes() == {"app": 7}
    assert task.at("app", "exited") < exited_by, "the time is the exit's, not that of the notice"
    assert task.log("app") == ["gone\n"]
    assert task.leftovers() == []


def test_stop_timeout_counts_on_while_there_is_no_agent(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap '' TERM; echo up; {WAITS}; {WAITS}", stopTimeout=2))
    task.until_running()
    task.until_log("app")
    task.stop()
    task.until_step("signalled", "app")
    crash(agent)
    task.until_closed()
    waited = task.at("app", "signalled", "SIGKILL") - task.at("app", "signalled", "SIGTERM")
    assert 2.0 <= waited < 2.5, task
    assert task.exit_codes() == {"app": 137}


def test_a_restart_changes_nothing_for_a_running_task(agent: Agent) -> None:
    shared = agent.root / "shared"
    shared.mkdir()
    ask = (
        "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task > /shared/new && mv /shared/new /shared/task"
    )
    check = {"command": ["CMD", "test", "-e", "/shared/up"], "interval": 5, "startPeriod": 60}
    mount = {"sourceVolume": "shared", "containerPath": "/shared"}
    script = f"while :; do {ask}; usleep 50000; done & {SERVES}"
    task = run(
        agent,
        shell("app", script, healthCheck=check, mountPoints=[mount]),
        volumes=[{"name": "shared", "host": {"sourcePath": str(shared)}}],
    )
    task.until_running()
    eventually((shared / "task").exists, "metadata")
    pid, timeline = task.pid("app"), task.timeline()
    assert agent.stop() == 0
    (shared / "task").unlink(missing_ok=True)
    (shared / "up").touch()
    agent.start()
    assert task.pid("app") == pid
    assert task.timeline()[: len(timeline)] == timeline
    eventually((shared / "task").exists, "metadata after the restart")
    assert json.loads((shared / "task").read_text())["TaskARN"] == task.arn
    task.until_step("healthy", "app")
    task.end()
    assert task.leftovers() == []
