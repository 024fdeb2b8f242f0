"""Tests of every answer against the OpenAPI description, and of the description itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import ClientSession
from yarl import URL

from metadata.routes import ROUTES
from tests.unit.metadata import contract
from tests.unit.metadata.contract import Received
from tests.unit.metadata.variety import SHAPES

SHOWS = [f"/{version}/{{endpointId}}{rest}" for version, rest in ROUTES]

UNSEEN = {"ClockDrift", "EphemeralStorageMetrics"}
"""Only Fargate shows these. What is in them can't be seen either."""

ALWAYS = {"Containers"}
"""Whoever asks is in the list."""


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


@pytest.mark.parametrize(("version", "rest"), ROUTES)
def test_every_route_is_described(version: str, rest: str) -> None:
    assert contract.template_of(f"/{version}/some-id{rest}") == f"/{version}/{{endpointId}}{rest}"


@pytest.mark.parametrize("template", contract.description()["paths"])
async def test_every_path_described_is_answered(template: str, various: ClientSession) -> None:
    """As described, and not as a path that means nothing; for known ids and others."""
    for endpoint_id in ("full", "nobody"):
        path = template.replace("{endpointId}", endpoint_id)
        for parameter in contract.PARAMETERS:
            path = path.replace(f"{{{parameter}}}", "some")
        for method in contract.methods(template):
            answer = await receive(various, path, method)
            assert answer.breaches() == []
            assert answer.content_type != "text/plain"


@pytest.mark.parametrize("template", SHOWS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_is_as_described(template: str, shape: str, various: ClientSession) -> None:
    answer = await receive(various, template.format(endpointId=shape))
    assert answer.breaches() == []
    assert answer.status == 200 or (answer.status in (400, 500) and "/stats" in template)


@pytest.mark.parametrize("template", SHOWS)
async def test_each_member_is_there_in_one_answer_and_missing_in_another(
    template: str, various: ClientSession
) -> None:
    answers = [await receive(various, template.format(endpointId=shape)) for shape in SHAPES]
    shown = [each for each in answers if each.status == 200]
    schema = shown[0].schema()
    seen = {each for answer in shown for each in contract.members(schema, answer.content)}
    wanted = {each for each in contract.optional_members(schema) if UNSEEN.isdisjoint((*each,))}
    assert {each for each in wanted if (each, True) not in seen} == set()
    assert {each for each in wanted if (each, False) not in seen and each[1] not in ALWAYS} == set()


@pytest.mark.parametrize("template", SHOWS)
async def test_a_member_too_many_or_too_few_would_be_found(
    template: str, various: ClientSession
) -> None:
    """The description can fail: every object of an answer with one member more, or one less."""
    answer = await receive(various, template.format(endpointId="full"))
    schema = answer.schema()
    for changed in _with_strays(answer.content):
        assert contract.errors(schema, changed) != []
    names = set(contract.resolved(schema).get("required", ()))
    for name in names:
        assert contract.errors(schema, {**answer.content, name: None}) != []


def _with_strays(value: Any) -> Iterator[Any]:
    """Copies of the value, in each of which one object has a member more."""
    if isinstance(value, dict):
        yield {**value, "stray": {"stray": []}}
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    for key in keys:
        for changed in _with_strays(value[key]):
            copied = copy.copy(value)
            copied[key] = changed
            yield copied
