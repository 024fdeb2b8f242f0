"""Task protection, asked for by the task itself and by operators: one state, which lasts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from cni.kernel.netns import NamespaceThread
from tests.system.agent import Agent, running_agent
from tests.system.agentapi import SAYS_WHERE, Asker
from tests.system.tasks import Json, Task, eventually, names_of, run, shell

ROLE = "arn:aws:iam::111122223333:role/worker"
STATE = "/task-protection/v1/state"
HOUR_S = 3600


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


def started(agent: Agent, thread: NamespaceThread, **fields: object) -> tuple[Task, Asker]:
    task = run(agent, shell("app", SAYS_WHERE), **fields)
    task.until_running()
    (uri, *_) = task.until_log("app")
    return task, Asker(thread, names_of(agent).netns(task.id, "app"), uri)


def state(asker: Asker, method: str = "GET", **body: object) -> Json:
    """What the task is told about its protection."""
    answer = asker.ask(method, f"{asker.path}{STATE}", body or None)
    assert answer[0] == 200, answer
    told: Json = answer[1]
    return told


def shown(agent: Agent, task: Task) -> Json:
    """What operators are told about it."""
    answer: dict[str, Any] = agent.call("GetTaskProtection", tasks=[task.arn])
    assert answer["failures"] == []
    (protected,) = answer["protectedTasks"]
    assert protected["taskArn"] == task.arn
    return dict(protected)


def test_what_a_task_asks_for_outlives_the_agent_and_operators_see_it(
    agent: Agent, thread: NamespaceThread
) -> None:
    task, asker = started(agent, thread, taskRoleArn=ROLE)
    off = {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": task.arn}
    assert state(asker) == {"protection": off}
    assert shown(agent, task)["protectionEnabled"] is False
    told = state(asker, "PUT", ProtectionEnabled=True, ExpiresInMinutes=60)["protection"]
    assert told["ProtectionEnabled"] is True
    until = datetime.fromisoformat(told["ExpirationDate"]).timestamp()
    left = until - task.shown()["startedAt"]
    assert HOUR_S <= left < 2 * HOUR_S
    for end in (agent.stop, agent.kill9):
        end()
        agent.start()
        eventually(asker.is_heard, "metadata of the task")
        assert state(asker) == {"protection": told}
        assert shown(agent, task)["expirationDate"] == until
    agent.call("UpdateTaskProtection", tasks=[task.arn], protectionEnabled=False)
    assert state(asker) == {"protection": off}
    task.end()
    assert task.leftovers() == []


def test_operators_protect_a_task_which_sees_it_and_a_stop_is_no_economy(
    agent: Agent, thread: NamespaceThread
) -> None:
    task, asker = started(agent, thread, taskRoleArn=ROLE)
    agent.call("UpdateTaskProtection", tasks=[task.id], protectionEnabled=True)
    assert state(asker)["protection"]["ProtectionEnabled"] is True
    task.stop()
    task.until_closed()
    answer = agent.call("GetTaskProtection", tasks=[task.arn])
    assert [each["reason"] for each in answer["failures"]] == ["TASK_NOT_VALID"]


def test_a_task_without_a_role_is_told_so(agent: Agent, thread: NamespaceThread) -> None:
    task, asker = started(agent, thread)
    status, body = asker.ask("PUT", f"{asker.path}{STATE}", {"ProtectionEnabled": True})
    assert (status, body["error"]["Code"]) == (403, "AccessDeniedException")
    status, body = asker.ask("POST", f"{asker.path}/fault/v1/network-latency/status")
    assert (status, task.arn in body["Error"]) == (400, True)
    task.end()


def test_a_task_that_is_stopping_can_not_be_protected(
    agent: Agent, thread: NamespaceThread
) -> None:
    script = "trap 'echo stopping' TERM; echo $ECS_AGENT_URI; while :; do sleep 3600 & wait; done"
    task = run(agent, shell("app", script, stopTimeout=60), taskRoleArn=ROLE)
    task.until_running()
    (uri, *_) = task.until_log("app")
    asker = Asker(thread, names_of(agent).netns(task.id, "app"), uri)
    task.stop()
    eventually(lambda: "stopping\n" in task.log("app"), "the signal")
    failure = state(asker, "PUT", ProtectionEnabled=True)["failure"]
    assert (failure["Arn"], failure["Reason"]) == (task.arn, "TASK_NOT_VALID")
    task.end()


def test_faults_of_a_task_in_bridge_mode_end_at_its_network(
    agent: Agent, thread: NamespaceThread
) -> None:
    task, asker = started(agent, thread, enableFaultInjection=True)
    status, body = asker.fault("network-latency", "status")
    assert status == 500
    assert "no network configuration" in body["Error"]
    task.end()
