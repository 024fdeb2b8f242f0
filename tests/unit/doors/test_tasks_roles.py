"""What RunTask draws for a task with roles: secret ids, decided once, and a token in host mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.task.model import Task, TaskId
from tests.unit.doors.agents import Agent
from tests.unit.doors.test_definitions import web

ROLE, EXECUTION = "arn:aws:iam::111122223333:role/web", "arn:aws:iam::111122223333:role/exec"


@pytest.fixture
def roles(agent: Agent) -> Path:
    """The roles file, which is there."""
    path: Path = agent.desk.settings.task_roles
    path.touch()
    return path


async def accepted(agent: Agent, overrides: Any = None, **definition: Any) -> Task:
    await agent.client.call("RegisterTaskDefinition", **web(**definition))
    answer = await agent.client.call("RunTask", taskDefinition="web", overrides=overrides or {})
    task_id = TaskId(answer["tasks"][0]["taskArn"].rpartition("/")[2])
    task = agent.desk.store.intents[task_id].task
    for secret in (task.credentials_id, task.execution_credentials_id, task.credentials_token):
        assert not secret or secret not in f"{answer} {task!r}", "a secret is shown"
    return task


def ids(task: Task) -> tuple[bool, bool]:
    return bool(task.credentials_id), bool(task.execution_credentials_id)


@pytest.mark.usefixtures("roles")
async def test_each_role_has_an_id_of_its_own(agent: Agent) -> None:
    one = await accepted(agent, taskRoleArn=ROLE, executionRoleArn=EXECUTION)
    two = await accepted(agent, taskRoleArn=ROLE, executionRoleArn=EXECUTION)
    drawn = {
        each for task in (one, two) for each in (task.credentials_id, task.execution_credentials_id)
    }
    assert len(drawn) == 4
    assert all(len(each) == 36 for each in drawn)
    assert one.credentials_token == ""
    assert ids(await accepted(agent, taskRoleArn=ROLE, executionRoleArn="")) == (True, False)
    assert ids(await accepted(agent, executionRoleArn=EXECUTION)) == (False, True)
    assert ids(await accepted(agent)) == (False, False)


@pytest.mark.usefixtures("roles")
async def test_roles_may_come_from_the_overrides(agent: Agent) -> None:
    task = await accepted(agent, {"taskRoleArn": ROLE, "executionRoleArn": EXECUTION})
    assert ids(task) == (True, True)
    assert task.definition.task_role_arn == ROLE


@pytest.mark.usefixtures("roles")
async def test_in_host_mode_there_is_a_token(agent: Agent) -> None:
    drawn = [await accepted(agent, taskRoleArn=ROLE, networkMode="host") for _ in range(2)]
    tokens = {each.credentials_token for each in drawn}
    assert len(tokens) == 2
    assert all(len(each) >= 32 for each in tokens)


async def test_without_a_roles_file_there_are_no_credentials(agent: Agent) -> None:
    task = await accepted(agent, taskRoleArn=ROLE, executionRoleArn=EXECUTION)
    assert ids(task) == (False, False)
    steps = agent.desk.store.progress(task.id).timeline
    assert [each.what for each in steps][:2] == ["accepted", "without credentials"]
