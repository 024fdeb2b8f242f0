"""Logs of containers: complete and in order, whatever happens to the router meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.logs.protocol import SOCKET_NAME, decode, encode
from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, Task, names_of, run, shell

LINES = 100_000
ALL = [f"{number}\n" for number in range(1, LINES + 1)]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


def router_pid(agent: Agent) -> int:
    """Process id of the log router, by its own word; 0 if none answers."""
    path = str(names_of(agent).run_dir / SOCKET_NAME)
    with socket.socket(socket.AF_UNIX) as connection:
        if connection.connect_ex(path) != 0:
            return 0
        connection.sendall(encode({"seq": 1, "op": "ping"}))
        return int(decode(connection.makefile("rb").readline())["pid"])


def test_a_hundred_thousand_lines_are_complete_and_in_order(agent: Agent) -> None:
    task = run(agent, shell("app", f"seq 1 {LINES}"))
    task.until_closed()
    assert task.log("app") == ALL


def test_both_streams_are_told_apart(agent: Agent) -> None:
    task = run(agent, shell("app", "echo out; echo err >&2; printf unfinished"))
    task.until_closed()
    entries = agent.call("Hostler.GetLogs", task=task.arn, container="app")["entries"]
    found = sorted((each["stream"], each["text"]) for each in entries)
    assert found == [("stderr", "err\n"), ("stdout", "out\n"), ("stdout", "unfinished")]


def run_with(agent: Agent, folder: Path, script: str) -> Task:
    """A task whose script has ``folder`` of this host at /go."""
    mount = {"sourceVolume": "go", "containerPath": "/go"}
    volume = {"name": "go", "host": {"sourcePath": str(folder)}}
    return run(agent, shell("app", script, mountPoints=[mount]), volumes=[volume])


def test_nothing_is_lost_when_the_router_is_killed(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    half = LINES // 2
    task = run_with(agent, tmp_path, f"seq 1 {half}; read go < /go/pipe; seq {half + 1} {LINES}")
    task.until_running()
    killed = router_pid(agent)
    os.kill(killed, signal.SIGKILL)
    # Whoever needs the router next starts one: here, another task does.
    other = run(agent, shell("app", "echo other"))
    other.until_closed()
    assert router_pid(agent) not in (0, killed)
    (tmp_path / "pipe").write_text("now\n")
    task.until_closed()
    assert task.log("app") == ALL
    assert other.log("app") == ["other\n"]
    assert task.leftovers() == []


def test_a_task_ends_although_its_router_was_killed(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES))
    task.until_log("app")
    os.kill(router_pid(agent), signal.SIGKILL)
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    assert task.log("app") == ["up\n"]


def test_a_log_is_rotated_as_its_options_say(agent: Agent) -> None:
    options = {"max-size": "100k", "max-file": "3"}
    log = {"logDriver": "json-file", "options": options}
    task = run(agent, shell("app", f"seq 1 {LINES}", logConfiguration=log))
    task.until_closed()
    files = sorted(names_of(agent).log(task.id, "app").parent.iterdir())
    assert [each.name for each in files] == ["app.log", "app.log.1", "app.log.2"]
    assert all(each.stat().st_size <= 101_000 for each in files)
    kept = task.log("app")
    assert 1000 < len(kept) < LINES
    assert kept == ALL[-len(kept) :]


def test_the_driver_none_keeps_nothing(agent: Agent) -> None:
    task = run(agent, shell("app", "seq 1 1000", logConfiguration={"logDriver": "none"}))
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    assert task.log("app") == []


def test_tail_gives_the_last_lines(agent: Agent) -> None:
    task = run(agent, shell("app", "seq 1 1000"))
    task.until_closed()
    answer = agent.call("Hostler.GetLogs", task=task.arn, container="app", tail=3)
    assert [each["text"] for each in answer["entries"]] == ["998\n", "999\n", "1000\n"]


def test_since_leaves_out_what_is_older(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    task = run_with(agent, tmp_path, "echo old; read go < /go/pipe; echo new")
    task.until_log("app")
    between = time.time()
    (tmp_path / "pipe").write_text("now\n")
    task.until_closed()
    answer = agent.call("Hostler.GetLogs", task=task.arn, container="app", sinceTime=between)
    assert [each["text"] for each in answer["entries"]] == ["new\n"]


def test_a_cursor_goes_on_where_the_last_answer_ended(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    task = run_with(agent, tmp_path, "echo one; read go < /go/pipe; echo two")
    task.until_log("app")
    first = agent.call("Hostler.GetLogs", task=task.arn, container="app")
    (tmp_path / "pipe").write_text("now\n")
    task.until_closed()
    rest = agent.call("Hostler.GetLogs", task=task.arn, container="app", cursor=first["cursor"])
    texts = [[each["text"] for each in answer["entries"]] for answer in (first, rest)]
    assert texts == [["one\n"], ["two\n"]]
