"""The API as bytes on a socket: protocol errors, broken callers, and anything as a request."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import stat
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.doors import extensions
from agent.doors.api import ECS_CALLS, ECS_PREFIX, MAX_BODY, OUR_PREFIX
from agent.engine.store import StoreError
from agent.task.model import Task
from tests.unit.doors.agents import Agent, serving
from tests.unit.doors.client import Answer, Refused, check_shape, service
from tests.unit.doors.test_definitions import web


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


async def posted(agent: Agent, target: str, body: bytes) -> Answer:
    return await agent.client.post(body, {"X-Amz-Target": target})


def error_of(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert isinstance(answer.json["message"], str)
    return answer.status, answer.json["__type"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"tasks": NaN}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
    ],
    ids=lambda body: repr(body[:16]),
)
async def test_a_body_that_is_no_json_object_is_refused(agent: Agent, body: bytes) -> None:
    answer = await posted(agent, f"{ECS_PREFIX}DescribeTasks", body)
    assert error_of(answer) == (400, "SerializationException")


async def test_a_body_that_is_too_large_is_refused(agent: Agent) -> None:
    answer = await posted(agent, f"{ECS_PREFIX}ListTasks", b" " * (MAX_BODY + 1))
    assert error_of(answer) == (400, "SerializationException")
    answer = await posted(agent, f"{ECS_PREFIX}ListTasks", b"{}" + b" " * (MAX_BODY - 2))
    assert answer.status == 200


@pytest.mark.parametrize("depth", [30, 300, 900])
async def test_deep_nesting_is_refused_where_it_is_looked_into(agent: Agent, depth: int) -> None:
    deep = b'{"containerDefinitions":[' * depth + b'"x"' + b"]}" * depth
    answer = await posted(agent, f"{ECS_PREFIX}RegisterTaskDefinition", deep)
    assert error_of(answer) in ((400, "ClientException"), (400, "SerializationException"))


@pytest.mark.parametrize(
    "target",
    ["", "ListTasks", f"{ECS_PREFIX}DeleteEverything", f"{OUR_PREFIX}ListTasks", "Other.ListTasks"],
)
async def test_a_call_that_is_not_served_is_refused(agent: Agent, target: str) -> None:
    answer = await posted(agent, target, b"{}")
    assert error_of(answer) == (400, "UnknownOperationException")


async def test_an_empty_body_is_an_empty_request(agent: Agent) -> None:
    assert (await posted(agent, f"{ECS_PREFIX}ListTasks", b"")).json == {"taskArns": []}


async def test_null_counts_as_absent(agent: Agent) -> None:
    body = b'{"cluster": null, "family": null, "maxResults": null, "desiredStatus": null}'
    assert (await posted(agent, f"{ECS_PREFIX}ListTasks", body)).json == {"taskArns": []}


@pytest.mark.parametrize(
    ("call", "body", "field"),
    [
        ("RunTask", {}, "taskDefinition: Field required"),
        ("RunTask", {"taskDefinition": 7}, "taskDefinition: "),
        ("RunTask", {"taskDefinition": "web", "count": 0}, "count: "),
        ("RunTask", {"taskDefinition": "web", "count": "1"}, "count: "),
        ("RunTask", {"taskDefinition": "web", "startedBy": "x" * 129}, "startedBy: "),
        ("RunTask", {"taskDefinition": "web", "clientToken": "x" * 65}, "clientToken: "),
        ("RunTask", {"taskDefinition": "web", "tags": [{"value": "x"}]}, "tags.0.key: "),
        ("StopTask", {"task": ""}, "task: Field required"),
        ("DescribeTasks", {"tasks": []}, "tasks: "),
        ("DescribeTasks", {"tasks": ["x"] * 101}, "tasks: "),
        ("DescribeTasks", {"tasks": ["x"], "include": ["ALL"]}, "include.0: "),
        ("ListTasks", {"maxResults": 101}, "maxResults: "),
        ("ListTasks", {"nextToken": "-1"}, "nextToken: "),
        ("ListTasks", {"nextToken": "\u0661"}, "nextToken: "),
        ("ListTasks", {"desiredStatus": "ASLEEP"}, "desiredStatus: "),
    ],
)
async def test_a_wrong_parameter_is_named(
    agent: Agent, call: str, body: dict[str, Any], field: str
) -> None:
    answer = await posted(agent, f"{ECS_PREFIX}{call}", json.dumps(body).encode())
    assert error_of(answer) == (400, "InvalidParameterException")
    assert answer.json["message"].startswith(field)


async def test_every_answer_has_a_request_id(agent: Agent) -> None:
    answers = [await posted(agent, f"{ECS_PREFIX}ListTasks", b"{}") for _ in range(2)]
    assert len({each.headers["x-amzn-RequestId"] for each in answers}) == 2


async def test_only_its_owner_can_reach_the_socket(agent: Agent) -> None:
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o600


async def test_a_socket_that_was_left_behind_is_replaced_and_removed_at_the_end(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        async with serving(tmp_path) as agent:
            await agent.client.call("ListTasks")
            assert agent.socket.is_socket()
        assert not agent.socket.exists()
        agent.socket.touch()


async def test_a_path_that_is_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        async with serving(tmp_path / ("x" * 100)):
            pass


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
        b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",
        b"POST / HTTP/1.1\r\nHost",
        b"",
    ],
)
async def test_a_caller_that_hangs_up_disturbs_nobody(agent: Agent, head: bytes) -> None:
    _, writer = await asyncio.open_unix_connection(agent.socket)
    writer.write(head)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await agent.client.call("ListTasks")
    assert not agent.images.loaded


async def test_a_compressed_body_is_refused(agent: Agent) -> None:
    headers = {"X-Amz-Target": f"{ECS_PREFIX}ListTasks", "Content-Encoding": "gzip"}
    for body in (gzip.compress(b"{}"), b"no gzip"):
        answer = await agent.client.post(body, headers)
        assert error_of(answer) == (400, "SerializationException")


async def test_a_store_that_can_not_keep_a_task_is_the_agents_fault(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent:
        await agent.client.call("RegisterTaskDefinition", **web())
        accept, store = agent.desk.store.accept, agent.desk.store

        async def full(*_tasks: Task, **_rest: object) -> None:
            raise StoreError("can't write state.db: database or disk is full")

        store.accept = full  # type: ignore[method-assign]
        with pytest.raises(Refused, match="disk is full") as caught:
            await agent.client.call("RunTask", taskDefinition="web")
        assert (caught.value.status, caught.value.code) == (500, "ServerException")
        store.accept = accept  # type: ignore[method-assign]
        assert (await agent.client.call("RunTask", taskDefinition="web"))["tasks"]


KNOWN_ERRORS = {
    "AccessDeniedException",
    "ClientException",
    "ClusterNotFoundException",
    "ConflictException",
    "InvalidParameterException",
    "SerializationException",
    "UnknownOperationException",
}
FIELDS = [
    "archive", "clientToken", "cluster", "clusters", "container", "containerDefinitions",
    "containerInstance", "count", "cpu", "cursor", "desiredStatus", "family", "familyPrefix",
    "force", "group", "image", "include", "launchType", "maxResults", "memory", "name",
    "networkMode", "nextToken", "overrides", "containerOverrides", "environment", "propagateTags",
    "reason", "serviceName", "since", "sinceTime", "sort", "startedBy", "status", "tags", "tail",
    "task", "taskDefinition", "tasks", "volumes",
]  # fmt: skip
words = st.sampled_from(
    ["web", "web:1", "default", "ACTIVE", "DESC", "TAGS", "STOPPED", "1" * 32, "1:1", "0", "9" * 9]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | words,
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), each, max_size=4)
    ),
    max_leaves=6,
)
requests = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
valid_parts = st.fixed_dictionaries(
    {},
    optional={
        "task": st.just("1" * 32),
        "tasks": st.just(["1" * 32]),
        "container": st.just("web"),
        "taskDefinition": st.just("web"),
        "family": st.just("web"),
        "containerDefinitions": st.just(web()["containerDefinitions"]),
        "since": st.integers(0, 1),
    },
)
plausible = st.builds(lambda any_, valid: {**any_, **valid}, requests, valid_parts)
bodies = st.binary(max_size=60) | plausible.map(lambda body: json.dumps(body).encode())
targets = (
    st.sampled_from([ECS_PREFIX + each for each in ECS_CALLS])
    | st.sampled_from([OUR_PREFIX + each for each in extensions.CALLS])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
)


def test_no_request_at_all_is_answered_by_anything_but_the_protocol(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        agent = runner.run(stack.enter_async_context(serving(tmp_path)))
        runner.run(agent.client.call("RegisterTaskDefinition", **web()))
        runner.run(agent.client.call("RunTask", taskDefinition="web"))

        @settings(
            max_examples=250,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(target=targets, body=bodies)
        def check(target: str, body: bytes) -> None:
            answer = runner.run(posted(agent, target, body))
            if answer.status == 200:
                operation = target.removeprefix(ECS_PREFIX)
                if operation in ECS_CALLS:
                    check_shape(answer.json, service().operation_model(operation))
            else:
                status, code = error_of(answer)
                assert status == 400, answer.json
                assert code in KNOWN_ERRORS

        check()
        runner.run(stack.aclose())
