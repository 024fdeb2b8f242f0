"""Ten thousand requests that are wrong in some way: each is answered, soon, and nothing stays.

In process, by the same functions that answer on a socket; some over the socket as well.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.doors import extensions
from agent.doors.api import ECS_CALLS, ECS_PREFIX, MAX_BODY, OUR_PREFIX
from agent.doors.errors import ApiError, ServerFailure
from tests.badinput.mutations import mutated
from tests.badinput.valid import SMALL, requests
from tests.unit.doors.agents import Agent, serving

NUMBER = 10_000
OVER_SOCKET = 300
PROCESSOR_S = 5.0
"""For one answer; most take less than a millisecond."""
DEADLINE_S = 30.0
"""The same with all that a machine does meanwhile, and its disk."""

GROWTH = 8 * 2**20
"""Bytes that may be held after a few thousand requests that leave nothing behind."""


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


@dataclass
class Told:
    """What came of the requests."""

    accepted: set[str] = field(default_factory=set)
    codes: Counter[str] = field(default_factory=Counter)

    def note(self, call: str, answer: dict[str, Any]) -> None:
        """The call was answered."""
        self.codes["answered"] += 1
        if call == "RunTask":
            self.accepted |= {each["taskArn"].rpartition("/")[2] for each in answer["tasks"]}


async def ready(agent: Agent, told: Told) -> str:
    """There are a definition and a task to be asked about; gives the task's id."""
    agent.images.keep("docker.io/hostler/hello:latest")
    await agent.api.answer(f"{ECS_PREFIX}RegisterTaskDefinition", json.dumps(SMALL).encode())
    made = await agent.api.answer(f"{ECS_PREFIX}RunTask", b'{"taskDefinition": "web"}')
    told.note("RunTask", made)
    return str(made["tasks"][0]["taskArn"].rpartition("/")[2])


def drawn(seed: int, task: str) -> tuple[str, bytes]:
    """Request number ``seed``: its target and its body."""
    rng = random.Random(seed)
    call, body = rng.choice(requests(task))
    target = call if call.startswith(OUR_PREFIX) else ECS_PREFIX + call
    if rng.random() < 0.01:
        target = rng.choice(("", "é", target + "x", target.lower(), call, "." * 999))
    return target, mutated(rng, body)


async def ask(agent: Agent, told: Told, seed: int, task: str) -> None:
    target, content = drawn(seed, task)
    try:
        async with asyncio.timeout(DEADLINE_S):
            answer = await agent.api.answer(target, content)
    except ServerFailure as error:
        raise AssertionError(f"request {seed} ({target}, {content[:300]!r}): {error}") from error
    except ApiError as error:
        told.codes[error.code] += 1
        json.dumps(error.document).encode()
    except Exception as error:
        raise AssertionError(f"request {seed} ({target}, {content[:300]!r}): {error!r}") from error
    else:
        json.dumps(answer).encode()
        told.note(target.removeprefix(ECS_PREFIX), answer)


def test_every_call_that_is_served_is_asked_wrongly() -> None:
    asked = {call for call, _ in requests("1")}
    served = ECS_CALLS.keys() | {OUR_PREFIX + each for each in extensions.CALLS}
    assert served == asked


def test_what_the_mutations_begin_with_is_right(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as agent:
            task = await ready(agent, Told())
            for call, body in requests(task):
                if "networkConfiguration" not in body:  # that is right in awsvpc mode
                    target = call if call.startswith(OUR_PREFIX) else ECS_PREFIX + call
                    assert await agent.api.answer(target, json.dumps(body).encode())

    asyncio.run(scene())


@pytest.mark.timeout(600)
def test_ten_thousand_bad_requests_are_answered_and_leave_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as agent:
            told = Told()
            task = await ready(agent, told)
            for seed in range(NUMBER):
                await ask(agent, told, seed, task)
            assert set(agent.desk.feed.pictures) == told.accepted, "taken on, and not answered"
            assert set(agent.desk.store.intents) == told.accepted
            assert told.codes["answered"] > NUMBER / 20, told.codes
            assert len(told.codes) > 5, told.codes
            assert len(asyncio.all_tasks()) < 10, "something still runs"

    asyncio.run(scene())


def test_what_is_refused_costs_no_memory(tmp_path: Path) -> None:
    """The same few hundred refused requests again and again."""

    async def scene() -> None:
        async with serving(tmp_path) as agent:
            task = await ready(agent, Told())
            refused = [each for each in range(400) if await refuses(agent, each, task)]
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(2):
                for seed in refused:
                    await refuses(agent, seed, task)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(refused) > 100
            assert after - before < GROWTH

    async def refuses(agent: Agent, seed: int, task: str) -> bool:
        target, content = drawn(seed, task)
        try:
            await agent.api.answer(target, content)
        except ApiError:
            return True
        return False

    asyncio.run(scene())


def many(number: int, **fields: object) -> list[dict[str, object]]:
    return [{"name": f"c{each}", "image": "x", "memory": 64, **fields} for each in range(number)]


def of(*containers: Mapping[str, object], **fields: object) -> dict[str, object]:
    return {"family": "large", "containerDefinitions": containers, **fields}


@pytest.mark.parametrize(
    "body",
    [
        of(*many(12000)),
        of(*many(5000, dependsOn=[{"containerName": "x", "condition": "START"}])),
        of(*many(10000, nane=1, imge=2)),
        of(*many(1), **{f"unknown{each}": 1 for each in range(40000)}),
        of(*many(1, portMappings=[{"containerPortRange": "1-65535"}] * 15000)),
        of(*many(1, environment=[{"name": ""}] * 30000)),
        of(*many(1), volumes=[{"name": f"v{each}"} for each in range(30000)]),
        of(*many(1, ulimits=[{"name": "cpu", "softLimit": 2, "hardLimit": 1}] * 10000)),
        {"family": "large", "containerDefinitions": [{"name": each} for each in range(30000)]},
        of(*many(1, user=":" * 300_000, image="x" * 300_000)),
    ],
    ids=[
        "containers", "dependencies", "unknown fields of containers", "unknown fields", "ports",
        "variables", "volumes", "ulimits", "types", "text",
    ],
)  # fmt: skip
async def test_a_definition_of_the_largest_size_is_answered_soon(
    tmp_path: Path, body: dict[str, object]
) -> None:
    content = json.dumps(body).encode()
    assert MAX_BODY / 4 < len(content) < MAX_BODY
    async with serving(tmp_path) as agent:
        began = time.process_time()
        with suppress(ApiError):
            answer = await agent.api.answer(f"{ECS_PREFIX}RegisterTaskDefinition", content)
            assert len(answer["warnings"]) <= 100
        assert time.process_time() - began < PROCESSOR_S


def test_bad_requests_over_the_socket_are_answered_in_the_protocols_words(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as agent:
            task = await ready(agent, Told())
            for seed in range(NUMBER, NUMBER + OVER_SOCKET):
                target, content = drawn(seed, task)
                if not target.isascii():
                    continue
                async with asyncio.timeout(DEADLINE_S):
                    answer = await agent.client.post(content, {"X-Amz-Target": target})
                assert answer.status in (200, 400), (seed, answer.body)
                assert isinstance(answer.json, dict)

    asyncio.run(scene())
