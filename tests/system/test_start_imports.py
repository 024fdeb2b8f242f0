"""What a real agent imports: at its start, and then no more, however many tasks come."""

import re
from collections.abc import Iterator

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import run, shell

NOT_AT_START = {"boto3", "botocore", "prometheus_client", "pyroute2", "rich", "yaml"}
"""What costs a tenth of a second, and is for few hosts, few tasks, or people at a terminal."""


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent that tells of each module that it imports."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with running_agent() as agent:
        yield agent


def imported(agent: Agent) -> list[str]:
    """The modules, in the order in which they came."""
    return re.findall(r"^import time:.*\| +(\S+)$", agent.said(), re.MULTILINE)


def test_nothing_is_imported_that_few_need_and_nothing_on_the_way_of_a_task(agent: Agent) -> None:
    at_start = imported(agent)
    assert "agent.app" in at_start
    assert not NOT_AT_START & set(at_start)

    task = run(
        agent, shell("c", "true", portMappings=[{"containerPort": 80}]), networkMode="bridge"
    )
    task.until_closed()

    assert imported(agent)[len(at_start) :] == []
