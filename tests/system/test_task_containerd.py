"""A containerd that hangs: what it does not do is done later, and nothing else waits for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import WAITS, containerd_socket, run, shell


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@contextmanager
def hanging(agent: Agent) -> Iterator[None]:
    """The agent's containerd is there meanwhile, and does nothing."""
    pid = int(containerd_socket(agent).with_name("containerd.pid").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_containerd_that_hangs_stops_neither_tasks_nor_answers(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap 'echo down; exit 4' TERM; echo up; {WAITS}"))
    task.until_running()
    task.until_log("app")
    pid = task.pid("app")
    with hanging(agent):
        late = run(agent, shell("app", "echo late; exit 5"))
        task.stop()
        late.until_step("retrying", "app")  # a call's deadline has passed
        assert task.shown()["desiredStatus"] == "STOPPED"
        shown = agent.cli("ps")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert late.id[:12] in shown.stdout
        assert Path(f"/proc/{pid}").exists()
        assert late.shown()["lastStatus"] == "PENDING"
    late.until_closed()
    task.until_closed()
    assert (late.exit_codes(), late.log("app")) == ({"app": 5}, ["late\n"])
    assert (task.exit_codes(), task.log("app")) == ({"app": 4}, ["up\n", "down\n"])
    assert task.leftovers() == late.leftovers() == []
