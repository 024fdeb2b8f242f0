"""Tests of every answer of the introspection port against its OpenAPI description."""

from __future__ import annotations

import pytest

from metadata.introspection import render
from metadata.introspection.health import Check
from metadata.source import InstanceFacts
from tests.unit.metadata.contract import INTROSPECTION
from tests.unit.metadata.facts import BARE_TASK, FULL_TASK
from tests.unit.metadata.introspection.conftest import Ask, Self
from tests.unit.metadata.judging import receive, with_strays
from tests.unit.metadata.variety import SHAPES, task

EVERY = [task(shape) for shape in SHAPES]
ASKED = {
    "": 200,
    f"?taskarn={FULL_TASK.arn}": 400,  # all have the same
    "?taskarn=arn:nobody": 404,
    "?dockerid=full": 200,
    "?dockerid=nobody": 404,
    "?dockerid=full&taskarn=arn": 400,
}


async def test_every_path_that_the_port_names_is_described(ask: Ask) -> None:
    named = (await receive(await ask(), "/")).content["AvailableCommands"]
    assert {*named, "/"} == set(INTROSPECTION.templates)


@pytest.mark.parametrize("path", INTROSPECTION.templates)
async def test_an_answer_is_as_described(path: str, ask: Ask) -> None:
    for session in (await ask(*EVERY), await ask()):
        answer = await receive(session, path)
        assert answer.status == 200
        assert INTROSPECTION.breaches(answer) == []
        misdirected = await receive(session, path, host="page.example")
        assert misdirected.status == 421
        assert INTROSPECTION.breaches(misdirected) == []


@pytest.mark.parametrize(("query", "status"), ASKED.items())
async def test_tasks_are_as_described(query: str, status: int, ask: Ask) -> None:
    answer = await receive(await ask(*EVERY), "/v1/tasks", query=query)
    assert answer.status == status
    assert INTROSPECTION.breaches(answer) == []


async def test_an_agent_that_is_not_well_is_as_described(ask: Ask) -> None:
    answer = await receive(await ask(checkup=Self([Check("store", "the disk is full")])), "/health")
    assert answer.status == 503
    assert INTROSPECTION.breaches(answer) == []


async def test_each_member_is_there_in_one_answer_and_missing_in_another(ask: Ask) -> None:
    answer = await receive(await ask(*EVERY, BARE_TASK), "/v1/tasks")
    schema = {"$ref": "#/components/schemas/Tasks"}
    seen = set(INTROSPECTION.members(schema, answer.content))
    for member in INTROSPECTION.optional_members(schema):
        assert {(member, True), (member, False)} <= seen


@pytest.mark.parametrize("path", ["/", "/v1/metadata", "/v1/tasks", "/health"])
async def test_a_member_too_many_would_be_found(path: str, ask: Ask) -> None:
    answer = await receive(await ask(*EVERY), path)
    schema = INTROSPECTION.schema(answer)
    for changed in with_strays(answer.content):
        assert INTROSPECTION.errors(schema, changed) != []


def test_an_instance_may_have_no_arn() -> None:
    shown = render.instance(InstanceFacts("lab", "", "0.1.0"))
    assert INTROSPECTION.errors({"$ref": "#/components/schemas/Instance"}, shown) == []
