"""No request for metadata is refused while the agent restarts, however that happens."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.system.manager import Client, ManagedAgent, clients, managed_agent
from tests.system.tasks import SERVES, Task, names_of, run, shell

TERMINATED, RENEWED, KILLED = 8, 8, 4
MODES = ("bridge", "none", "host")
NO_LIMIT = "1000000,1000000"


@pytest.fixture(scope="module")
def agent() -> Iterator[ManagedAgent]:
    with managed_agent(ECS_TASK_METADATA_RPS_LIMIT=NO_LIMIT) as agent:
        yield agent


def in_mode(agent: ManagedAgent, mode: str) -> Task:
    """A task that runs."""
    task = run(agent, shell("app", SERVES), networkMode=mode)
    task.until_running()
    task.until_log("app")
    return task


def place(task: Task, mode: str) -> tuple[str, int, Path | None]:
    """What a client is made from that asks as the task's container would."""
    at = None if mode == "host" else names_of(task.agent).netns(task.id, "app")
    return task.arn, task.pid("app"), at


def embedded(agent: ManagedAgent) -> str:
    """The agent's own containerd: its process id and when that started."""
    return (names_of(agent).run_dir / "containerd" / "containerd.pid").read_text()


def all_answered(asking: Sequence[Client]) -> None:
    for each in asking:
        each.until_answered()


@pytest.mark.timeout(300)
def test_clients_that_ask_all_the_time_never_see_a_restart(agent: ManagedAgent) -> None:
    tasks = {mode: in_mode(agent, mode) for mode in MODES}
    pid, containerd = agent.pid, embedded(agent)
    with clients(*(place(task, mode) for mode, task in tasks.items())) as asking:
        all_answered(asking)
        for _ in range(RENEWED):
            agent.renew()
            all_answered(asking)
        assert (agent.pid, embedded(agent)) == (pid, containerd)
        for _ in range(TERMINATED):
            agent.restart()
            all_answered(asking)
        assert [each.errors for each in asking] == [[], [], []]
        for _ in range(KILLED):
            agent.kill9()
            agent.start()
            all_answered(asking)
    for each in asking:
        assert len(each.errors) <= KILLED
        for error in each.errors:  # an answer was cut off, and nothing else
            assert isinstance(error, ConnectionResetError | http.client.IncompleteRead), error
    for task in tasks.values():
        task.end()
        assert task.leftovers() == []
    assert agent.manager.names == []
