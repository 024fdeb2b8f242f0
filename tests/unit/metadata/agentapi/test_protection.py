"""Every outcome of a request about task protection, with its code and body."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from metadata.agentapi.protection import Failed, Protected, Protection, Refused, Unprotectable
from metadata.front.asking import Asking
from metadata.source import Owner
from tests.unit.metadata.agentapi.asking import TASK, Agent, Api, Content, told, with_container
from tests.unit.metadata.facts import OWNER, Picture, at

STATE = "/api/id-web/task-protection/v1/state"
ON = {"ProtectionEnabled": True}
PROTECTED = {
    "protection": {
        "ExpirationDate": "2031-02-03T04:05:06Z",
        "ProtectionEnabled": True,
        "TaskArn": TASK.arn,
    }
}
UNPROTECTED = {
    "protection": {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": TASK.arn}
}
BOTH = pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", ON)])


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["Code"]


async def test_a_task_protects_itself_for_the_usual_time() -> None:
    api = Api(Agent(answer=Protected(at())))
    assert told(await api.ask("PUT", STATE, ON)) == (200, PROTECTED)
    assert api.agent.asked == [("protect", TASK.arn, None)]


@pytest.mark.parametrize("minutes", [60, None])
async def test_the_minutes_are_the_agents_to_judge(minutes: int | None) -> None:
    api = Api(Agent(answer=Protected(at())))
    body = {"ProtectionEnabled": True, "ExpiresInMinutes": minutes}
    assert told(await api.ask("PUT", STATE, body)) == (200, PROTECTED)
    assert api.agent.asked == [("protect", TASK.arn, minutes)]


async def test_names_may_come_in_any_case() -> None:
    """Go's decoder, which whoever wrote for ECS's agent was answered by, doesn't mind it."""
    api = Api(Agent(answer=Protected(at())))
    body = {"protectionEnabled": True, "EXPIRESINMINUTES": 60}
    assert told(await api.ask("PUT", STATE, body)) == (200, PROTECTED)
    assert api.agent.asked == [("protect", TASK.arn, 60)]


async def test_a_task_lifts_its_protection() -> None:
    api = Api()
    assert told(await api.ask("PUT", STATE, {"ProtectionEnabled": False})) == (200, UNPROTECTED)
    assert api.agent.asked == [("unprotect", TASK.arn)]


@pytest.mark.parametrize(
    ("state", "body"), [(Protected(at()), PROTECTED), (Protected(None), UNPROTECTED)]
)
async def test_a_task_asks_whether_it_is_protected(state: Protected, body: object) -> None:
    api = Api(Agent(answer=state))
    assert told(await api.ask("GET", STATE)) == (200, body)
    assert api.agent.asked == [("protection", TASK.arn)]


@BOTH
async def test_a_failure_that_the_agent_lists_is_no_error(method: str, body: object) -> None:
    answer = await Api(Agent(answer=Unprotectable("TASK_NOT_VALID"))).ask(method, STATE, body)
    failure = {"Arn": TASK.arn, "Detail": None, "Reason": "TASK_NOT_VALID"}
    assert told(answer) == (200, {"failure": failure})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (None, "no body"),
        (b" \n", "no body"),
        (b"{", "JSON"),
        (b'{"ProtectionEnabled": true} more', "JSON"),
        (b"\xff", "JSON"),
        ([], "object"),
        ({}, "ProtectionEnabled"),
        ({"ProtectionEnabled": None}, "ProtectionEnabled"),
        ({"ProtectionEnabled": "true"}, "ProtectionEnabled"),
        ({"ProtectionEnabled": 1}, "ProtectionEnabled"),
        ({**ON, "ExpiresInMinutes": "60"}, "ExpiresInMinutes"),
        ({**ON, "ExpiresInMinutes": 1.5}, "ExpiresInMinutes"),
        ({**ON, "Reason": "none"}, "Reason"),
        ({"protection_enabled": True}, "ProtectionEnabled"),
        (b" " * 70_000, "bytes"),
    ],
)
async def test_a_body_that_is_none_is_a_wrong_parameter(body: object, word: str) -> None:
    """Before anything is looked up: the error names no task, even where there is none."""
    for tasks in ([TASK], []):
        api = Api(tasks=tasks)
        status, answer = told(await api.ask("PUT", STATE, body))
        assert (status, answer["error"]["Code"]) == (400, "InvalidParameterException")
        assert word in answer["error"]["Message"]
        assert answer["error"].keys() == {"Code", "Message"}
        assert api.agent.asked == []


async def test_a_body_that_does_not_come_is_a_wrong_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metadata.front.asking.BODY_TIMEOUT_S", 0.01)
    asking = Asking(OWNER, "PUT", STATE, content=Content(b"", stuck=True))
    answer = await Api().room.answer(asking)
    assert code_of(told(answer)) == (400, "InvalidParameterException")


@BOTH
async def test_an_unknown_id(method: str, body: object) -> None:
    api = Api()
    answer = told(await api.ask(method, STATE.replace("id-web", "id-XXX"), body))
    assert code_of(answer) == (404, "ResourceNotFoundException")
    assert "'id-XXX'" in answer[1]["error"]["Message"]


@BOTH
async def test_an_id_of_another_owner_is_unknown(method: str, body: object) -> None:
    """Even when the source would give it away."""
    api = Api()
    answer = told(await api.ask(method, STATE, body, owner=Owner("task-two")))
    assert code_of(answer) == (404, "ResourceNotFoundException")
    assert TASK.arn not in str(answer)
    assert api.agent.asked == []


@BOTH
async def test_a_container_that_does_not_exist_yet_is_unknown(method: str, body: object) -> None:
    api = Api(tasks=[with_container(docker_id="")])
    assert code_of(told(await api.ask(method, STATE, body))) == (404, "ResourceNotFoundException")


@BOTH
async def test_a_task_without_a_role_may_not(method: str, body: object) -> None:
    api = Api(tasks=[replace(TASK, role=None)])
    answer = told(await api.ask(method, STATE, body))
    assert code_of(answer) == (403, "AccessDeniedException")
    assert answer[1]["error"]["Arn"] == TASK.arn
    assert api.agent.asked == []


@BOTH
async def test_what_the_agent_refuses_has_its_status_code_and_id(method: str, body: object) -> None:
    refusal = Refused(400, "InvalidParameterException", "from 1 to 2880", "r-1")
    answer = await Api(Agent(fails=refusal)).ask(method, STATE, body)
    error = {
        "Arn": TASK.arn,
        "Code": "InvalidParameterException",
        "Message": "from 1 to 2880",
    }
    assert told(answer) == (400, {"error": error, "requestID": "r-1"})


@BOTH
async def test_an_agent_that_takes_too_long(method: str, body: object) -> None:
    api = Api(Agent(stuck=True), deadline_s=0.01)
    async with asyncio.timeout(5):
        answer = told(await api.ask(method, STATE, body))
    assert code_of(answer) == (504, "RequestCanceled")
    assert answer[1]["error"]["Arn"] == TASK.arn


def test_too_long_is_four_seconds() -> None:
    assert Protection(Picture([]), Agent())._deadline_s == 4.0


@BOTH
async def test_any_other_failure_is_the_servers(method: str, body: object) -> None:
    answer = told(await Api(Agent(fails=Failed("the disk is full"))).ask(method, STATE, body))
    assert code_of(answer) == (500, "ServerException")
    assert answer[1]["error"]["Message"] == "the disk is full"
