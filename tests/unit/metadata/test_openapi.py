"""Tests of every answer against the OpenAPI description, and of the description itself."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import ClientSession
from yarl import URL

from metadata.routes import ROUTES, V2_CONTAINERS, V2_TASKS
from metadata.task import clock
from tests.unit.metadata import contract
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.contract import Received
from tests.unit.metadata.variety import SHAPES, KnownSamples, picture

Show = Callable[[str, str], Awaitable[Received]]

TEMPLATES = contract.description()["paths"]
SHOWS = [
    each
    for each in TEMPLATES
    if contract.tag(each).startswith("version") and not each.endswith("{associationType}/")
]
OBJECTS = [each for each in SHOWS if not each.endswith("{associationName}")]
"""Those whose answers are ours, and not what somebody else stored."""

NAMES = {"associationType": "kind", "associationName": "name", "credentialsId": "some"}

NEVER = {"EphemeralStorageMetrics", "Errors", "TagError"}
"""What only Fargate shows, and why tags can't be had: they are the host's own, so they can."""

ALWAYS = {"Containers", "ClockErrorBound", "ReferenceTimestamp", "ClockSynchronizationStatus"}
"""Whoever asks is in the list; and the kernel tells all of its clock or nothing."""


class Mute:
    """A kernel that doesn't tell of its clock."""

    def adjtimex(self, _: object) -> int:
        return -1


@pytest.fixture
async def show(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Show]:
    """Asks as a container of a shape would, by a path of the description."""
    sampler = KnownSamples()

    async def shown(template: str, shape: str) -> Received:
        with monkeypatch.context() as patch:
            if shape == "bare":
                patch.setattr(clock, "_LIBC", Mute())
            session = await serve(picture(shape), sampler)
            return await receive(session, filled(template, shape))

    yield shown
    sampler.close()


def filled(template: str, shape: str) -> str:
    return template.format(endpointId=shape, runtimeId=shape, **NAMES)


async def receive(session: ClientSession, path: str, method: str = "get") -> Received:
    url = URL(path, encoded=True)
    async with session.request(method, url, allow_redirects=False) as response:
        body = await response.text()
        is_json = response.content_type == "application/json"
        content = json.loads(body) if is_json else body
        return Received(
            path, response.status, response.content_type, response.headers, content, method
        )


def test_the_description_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(copy.deepcopy(contract.description())).validate()


def test_every_route_is_described() -> None:
    served = [
        *(f"/{version}/some{rest}" for version, rest in ROUTES),
        *(f"/v2/{kind}" for kind in V2_TASKS),
        *(f"/v2/{kind}/some" for kind in V2_CONTAINERS),
    ]
    described = {contract.template_of(path) for path in served}
    assert len(described) == len(served)
    assert not any("associations" in each for each in described)  # which have no table


@pytest.mark.parametrize("template", TEMPLATES)
async def test_every_path_described_is_answered(template: str, various: ClientSession) -> None:
    """As described, and not as a path that means nothing; for known ids and others."""
    for shape in ("full", "nobody"):
        for method in contract.methods(template):
            answer = await receive(various, filled(template, shape), method)
            assert answer.breaches() == []
            assert answer.content_type != "text/plain"


@pytest.mark.parametrize("template", SHOWS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_is_as_described(template: str, shape: str, show: Show) -> None:
    answer = await show(template, shape)
    assert answer.breaches() == []
    refused = template.endswith(("stats", "stats/{runtimeId}", "{associationName}"))
    assert answer.status == 200 or (refused and shape != "full")


@pytest.mark.parametrize("template", OBJECTS)
async def test_each_member_is_there_in_one_answer_and_missing_in_another(
    template: str, show: Show
) -> None:
    answers = [await show(template, shape) for shape in SHAPES]
    shown = [each for each in answers if each.status == 200]
    schema = shown[0].schema()
    seen = {each for answer in shown for each in contract.members(schema, answer.content)}
    wanted = {each for each in contract.optional_members(schema) if NEVER.isdisjoint(each)}
    assert {each for each in wanted if (each, True) not in seen} == set()
    assert {each for each in wanted if (each, False) not in seen and each[1] not in ALWAYS} == set()


@pytest.mark.parametrize("template", OBJECTS)
async def test_a_member_too_many_or_of_another_type_would_be_found(
    template: str, show: Show
) -> None:
    """The description can fail: for every object of an answer with one member more, or a null."""
    answer = await show(template, "full")
    schema = answer.schema()
    for changed in _with_strays(answer.content):
        assert contract.errors(schema, changed) != []
    if "associations" not in template:
        for name in answer.content:
            assert contract.errors(schema, {**answer.content, name: [None]}) != []


def _with_strays(value: Any) -> Iterator[Any]:
    """Copies of the value, in each of which one object has a member more."""
    if isinstance(value, dict):
        yield {**value, "stray": {"stray": []}}
    for key, each in _entries(value):
        for changed in _with_strays(each):
            copied = copy.copy(value)
            copied[key] = changed
            yield copied


def _entries(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []
