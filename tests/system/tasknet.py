"""Tasks with networks for system tests: awsvpc tasks, and agents whose host is the test's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.task.model import TASK_SANDBOX
from tests.system.agent import Agent, running_agent
from tests.system.netlab import Lab
from tests.system.tasks import Json, Task, names_of

SLOW_S = 120.0
"""For an agent to start, and to end with all its tasks."""

HERE = Path("/proc/thread-self/ns/net")
"""The network namespace of whoever opens it."""


def awsvpc(
    agent: Agent,
    *containers: Json,
    subnets: Sequence[str] = (),
    groups: Sequence[str] = (),
    **asked: Any,
) -> Task:
    """A task in awsvpc mode that was just accepted; ``asked`` are more fields of RunTask."""
    definition = {"family": "own", "networkMode": "awsvpc", "containerDefinitions": containers}
    network = {"subnets": list(subnets), "securityGroups": list(groups)}
    network_configuration = {"awsvpcConfiguration": network}
    return Task(agent, agent.run(definition, networkConfiguration=network_configuration, **asked))


def namespace(task: Task) -> Path:
    """The network namespace that a task in awsvpc mode has."""
    return names_of(task.agent).netns(task.id, TASK_SANDBOX)


def interface(task: Task) -> dict[str, str]:
    """What DescribeTasks says of the task's network interface, by the names of the details."""
    (attachment,) = task.shown()["attachments"]
    return {each["name"]: each["value"] for each in attachment["details"]}


def link(name: str) -> Json | None:
    """What ip(8) says of a link of this host and of its addresses; None without such a link."""
    ran = subprocess.run(["ip", "-j", "address", "show", "dev", name], capture_output=True)
    return json.loads(ran.stdout)[0] if ran.returncode == 0 else None


@contextmanager
def sealed_agent(lab: Lab, **settings: str) -> Iterator[Agent]:
    """A running agent whose network is that of the lab's host, and nobody else's."""
    running = running_agent(**settings)
    agent = lab.host_thread.submit(running.__enter__).result(SLOW_S)
    try:
        yield agent
    finally:
        lab.host_thread.submit(running.__exit__, None, None, None).result(SLOW_S)
