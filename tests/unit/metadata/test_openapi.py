"""Tests of every answer against the OpenAPI description, and of the description itself."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import schemathesis
from aiohttp import ClientSession

from metadata.routes import ROUTES, V2_CONTAINERS, V2_TASKS
from metadata.task import clock
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.contract import INTROSPECTION, METADATA, Contract, Received
from tests.unit.metadata.judging import receive, with_strays
from tests.unit.metadata.variety import SHAPES, KnownSamples, picture

Show = Callable[[str, str], Awaitable[Received]]

TEMPLATES = METADATA.templates
SHOWS = [
    each
    for each in TEMPLATES
    if METADATA.tag(each).startswith("version") and not each.endswith("{associationType}/")
]
OBJECTS = [each for each in SHOWS if not each.endswith("{associationName}")]
"""Those whose answers are ours, and not what somebody else stored."""

NAMES = {"associationType": "kind", "associationName": "name"}

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
    return template.format(
        endpointId=shape, runtimeId=shape, credentialsId=f"role-{shape}", **NAMES
    )


@pytest.mark.parametrize("described", [METADATA, INTROSPECTION])
def test_the_description_is_valid_openapi(described: Contract) -> None:
    schemathesis.openapi.from_dict(copy.deepcopy(described.document)).validate()


def test_every_route_is_described() -> None:
    served = [
        *(f"/{version}/some{rest}" for version, rest in ROUTES),
        *(f"/v2/{kind}" for kind in V2_TASKS),
        *(f"/v2/{kind}/some" for kind in V2_CONTAINERS),
    ]
    described = {METADATA.template_of(path) for path in served}
    assert len(described) == len(served)
    assert not any("associations" in each for each in described)  # which have no table


@pytest.mark.parametrize("template", TEMPLATES)
async def test_every_path_described_is_answered(template: str, various: ClientSession) -> None:
    """As described, and not as a path that means nothing; for known ids and others."""
    for shape in ("full", "nobody"):
        for method in METADATA.methods(template):
            answer = await receive(various, filled(template, shape), method)
            assert METADATA.breaches(answer) == []
            assert answer.content_type != "text/plain"


@pytest.mark.parametrize("template", SHOWS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_is_as_described(template: str, shape: str, show: Show) -> None:
    answer = await show(template, shape)
    assert METADATA.breaches(answer) == []
    refused = template.endswith(("stats", "stats/{runtimeId}", "{associationName}"))
    assert answer.status == 200 or (refused and shape != "full")


@pytest.mark.parametrize("template", OBJECTS)
async def test_each_member_is_there_in_one_answer_and_missing_in_another(
    template: str, show: Show
) -> None:
    answers = [await show(template, shape) for shape in SHAPES]
    shown = [each for each in answers if each.status == 200]
    schema = METADATA.schema(shown[0])
    seen = {each for answer in shown for each in METADATA.members(schema, answer.content)}
    wanted = {each for each in METADATA.optional_members(schema) if NEVER.isdisjoint(each)}
    assert {each for each in wanted if (each, True) not in seen} == set()
    assert {each for each in wanted if (each, False) not in seen and each[1] not in ALWAYS} == set()


@pytest.mark.parametrize("template", OBJECTS)
async def test_a_member_too_many_or_of_another_type_would_be_found(
    template: str, show: Show
) -> None:
    """The description can fail: for every object of an answer with one member more, or a null."""
    answer = await show(template, "full")
    schema = METADATA.schema(answer)
    for changed in with_strays(answer.content):
        assert METADATA.errors(schema, changed) != []
    if "associations" not in template:
        for name in answer.content:
            assert METADATA.errors(schema, {**answer.content, name: [None]}) != []
