"""What goes on while there is no agent is taken up by the next one (see also the crash points)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from agent.task import names
from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, WAITS, Task, ctr, eventually, run, shell

STOP_S = 6
AWAY_S = 3.0
"""Of that time there is no agent for so long at least."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


def has_exited(task: Task) -> bool:
    """Whether containerd knows that the process of ``app`` has ended, and so when."""
    key = names.container_id(task.id, "app")
    rows = [line.split() for line in ctr(task.agent, "tasks", "list")]
    return any(row[0] == key and row[-1] == "STOPPED" for row in rows)


def test_an_exit_while_there_is_no_agent_is_noticed(agent: Agent) -> None:
    script = "until [ -e /go/now ]; do usleep 20000; done; echo gone; exit 7"
    go = agent.root / "go"
    go.mkdir()
    mount = {"sourceVolume": "go", "containerPath": "/go"}
    volume = {"name": "go", "host": {"sourcePath": str(go)}}
    task = run(agent, shell("app", script, mountPoints=[mount]), volumes=[volume])
    task.until_running()
    agent.kill9()
    (go / "now").touch()
    eventually(lambda: has_exited(task), "the exit in containerd")
    exited_by = time.time()
    agent.start()
    shown = task.until_closed()
    assert shown["stopCode"] == "EssentialContainerExited"
    assert task.exit_codes() == {"app": 7}
    assert task.at("app", "exited") < exited_by, "the time is the exit's, not that of the notice"
    assert task.log("app") == ["gone\n"]
    assert task.leftovers() == []


def test_stop_timeout_counts_on_while_there_is_no_agent(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap '' TERM; echo up; {WAITS}; {WAITS}", stopTimeout=STOP_S))
    task.until_running()
    task.until_log("app")
    task.stop()
    task.until_step("signalled", "app")
    asked_at = task.at("app", "signalled", "SIGTERM")
    agent.kill9()
    threading.Event().wait(AWAY_S)
    agent.start()
    back = time.time() - asked_at
    task.until_closed()
    waited = task.at("app", "signalled", "SIGKILL") - asked_at
    # Who counts anew from then on has waited for longer than this.
    assert STOP_S <= waited < max(STOP_S, back) + AWAY_S, task
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
