"""The TCP port, as bytes: who is turned away, how early, and that it teaches nobody anything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent.config import ConfigError
from agent.doors.api import ECS_PREFIX, MAX_BODY, OUR_PREFIX
from agent.doors.sigv4 import Key
from agent.doors.tcp import TcpDoor
from tests.unit.doors.agents import KEY, Agent

Reply = tuple[int, dict[str, Any] | str]
STRANGER = Key("HOSTLERSTRANGER00000", "not a secret that anybody gave out")


async def exchanged(agent: Agent, head: str, body: bytes = b"") -> Reply:
    """Status and content of the answer to these very bytes, without the request id."""
    host, port = agent.tcp.socket.getsockname()
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            status = int((await reader.readline()).split()[1])
            answered = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in answered.splitlines()
                if line.lower().startswith(b"content-length:")
            )
            content = (await reader.readexactly(length)).decode()
        finally:
            writer.close()
            await writer.wait_closed()
    return status, json.loads(content) if content.startswith("{") else content


def code(reply: Reply) -> tuple[int, str]:
    status, content = reply
    assert isinstance(content, dict), content
    return status, content["__type"]


def signed_head(
    agent: Agent, target: str, body: bytes, *, path: str = "/", key: Key = KEY, method: str = "POST"
) -> str:
    request = AWSRequest(method, agent.url + path, {"X-Amz-Target": target}, body)
    SigV4Auth(Credentials(key.access_key_id, key.secret), "ecs", "local").add_auth(request)
    return head_of(method, path, {**request.headers, "Host": str(agent.tcp)}, len(body))


def head_of(method: str, path: str, headers: Mapping[str, str], length: int) -> str:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\n".join([f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {length}"])


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (f"{ECS_PREFIX}ListTasks", {"taskArns": []}),
        (f"{OUR_PREFIX}ListImages", {"images": []}),
    ],
)
async def test_a_signed_call_is_answered(agent: Agent, target: str, answer: dict[str, Any]) -> None:
    reply = await exchanged(agent, signed_head(agent, target, b"{}"), b"{}")
    assert reply == (200, answer)


async def test_errors_of_a_call_are_those_of_the_unix_socket(agent: Agent) -> None:
    reply = await exchanged(agent, signed_head(agent, f"{ECS_PREFIX}Nothing", b"{}"), b"{}")
    assert code(reply) == (400, "UnknownOperationException")
    reply = await exchanged(agent, signed_head(agent, f"{ECS_PREFIX}ListTasks", b"["), b"[")
    assert code(reply) == (400, "SerializationException")


METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
PATHS = ["/", "/images", "/images/pull", "/images/save?name=a", "/nothing?a=b", "//", "/%2e%2e/"]


@pytest.mark.parametrize("signed", [False, True])
async def test_a_stranger_is_told_the_same_whatever_is_asked_for(
    agent: Agent, signed: bool
) -> None:
    target = f"{ECS_PREFIX}ListTasks"
    for method, path in product(METHODS, PATHS):
        if signed:
            head = signed_head(agent, target, b"{}", path=path, key=STRANGER, method=method)
            expected = "UnrecognizedClientException"
        else:
            head = head_of(method, path, {"Host": "x", "X-Amz-Target": target}, 2)
            expected = "MissingAuthenticationTokenException"
        assert code(await exchanged(agent, head, b"{}")) == (400, expected), (method, path)


async def test_a_strangers_body_is_not_waited_for(agent: Agent) -> None:
    head = signed_head(agent, f"{ECS_PREFIX}ListTasks", b"{}", key=STRANGER)
    head = head.replace("Content-Length: 2", f"Content-Length: {MAX_BODY}")
    assert code(await exchanged(agent, head)) == (400, "UnrecognizedClientException")


async def test_a_body_that_is_too_large_to_keep_is_refused(agent: Agent) -> None:
    body = b" " * (MAX_BODY + 1)
    head = signed_head(agent, f"{ECS_PREFIX}ListTasks", body)
    assert code(await exchanged(agent, head, body)) == (400, "SerializationException")


async def test_what_was_changed_on_the_way_is_refused(agent: Agent) -> None:
    head = signed_head(agent, f"{ECS_PREFIX}ListTasks", b"{}")
    reply = await exchanged(agent, head, b"[]")
    assert code(reply) == (400, "InvalidSignatureException")
    reply = await exchanged(agent, head.replace("ListTasks", "StopTasks"), b"{}")
    assert code(reply) == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images"),
        ("POST", "/images/pull"),
        ("GET", "/images/save"),
        ("GET", "/images/%73ave"),
    ],
)
async def test_images_are_not_moved_over_tcp(agent: Agent, method: str, path: str) -> None:
    head = signed_head(agent, f"{OUR_PREFIX}LoadImage", b"some", path=path, method=method)
    status, content = await exchanged(agent, head, b"some")
    assert isinstance(content, dict)
    assert (status, content["__type"]) == (400, "InvalidParameterException")
    assert "through the agent's unix socket only" in content["message"]
    assert not agent.images.loaded


async def test_whoever_has_a_key_learns_what_is_not_served(agent: Agent) -> None:
    target = f"{ECS_PREFIX}ListTasks"
    status, _ = await exchanged(agent, signed_head(agent, target, b"", path="/no"))
    assert status == 404
    status, _ = await exchanged(agent, signed_head(agent, target, b"", method="GET"))
    assert status == 405


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    first = TcpDoor(("127.0.0.1", 0), {}, time.time)
    try:
        port = first.socket.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            TcpDoor(("127.0.0.1", port), {}, time.time)
    finally:
        first.close()
    assert str(caught.value) == (
        f"HOSTLER_API_LISTEN: can't listen on 127.0.0.1 port {port}: Address already in use;"
        " set another ADDRESS:PORT, or off"
    )


def test_a_port_can_be_taken_again_at_once() -> None:
    first = TcpDoor(("127.0.0.1", 0), {}, time.time)
    address = first.socket.getsockname()
    first.close()
    TcpDoor(address, {}, time.time).close()


def test_an_address_of_ipv6_is_shown_in_brackets() -> None:
    try:
        door = TcpDoor(("::1", 0), {}, time.time)
    except ConfigError as error:
        pytest.skip(str(error))
    assert str(door) == f"[::1]:{door.socket.getsockname()[1]}"
    door.close()
