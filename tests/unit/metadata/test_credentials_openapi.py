"""Tests of the credentials routes, every code of their table, against the OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.source import Owner
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.contract import METADATA
from tests.unit.metadata.facts import OWNER
from tests.unit.metadata.judging import receive
from tests.unit.metadata.test_credentials_room import HOST, MINE, World, on_host

ASKED = [
    (200, "/v2/credentials/id-mine", "", OWNER),
    (200, "/v1/credentials", "?id=id-mine", OWNER),
    (400, "/v2/credentials/", "", OWNER),
    (400, "/v1/credentials", "", OWNER),
    (400, "/v2/credentials/id-other", "", OWNER),
    (401, "/v2/credentials/id-1", "", HOST),
    (503, "/v2/credentials/id-execution", "", OWNER),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "audit.log", [MINE, on_host(1)])
    yield made
    made.audit.close()


@pytest.mark.parametrize(("status", "path", "query", "owner"), ASKED)
async def test_an_answer_is_as_described(
    status: int, path: str, query: str, owner: Owner, world: World, serve: Serve
) -> None:
    await world.have("id-mine")
    session = await serve(world.source, owner=owner, credentials=world.room)
    answer = await receive(session, path, query=query)
    assert answer.status == status
    assert METADATA.breaches(answer) == []


async def test_an_answer_about_expired_keys_is_as_described(world: World, serve: Serve) -> None:
    await world.have("id-mine")
    world.now += 3600
    session = await serve(world.source, credentials=world.room)
    answer = await receive(session, "/v2/credentials/id-mine")
    assert answer.status == 500
    assert METADATA.breaches(answer) == []


def test_every_code_has_a_case() -> None:
    """But for those that all paths have."""
    described = METADATA.templates["/v2/credentials/{credentialsId}"]["get"]["responses"]
    asked = {status for status, *_ in ASKED} | {500}
    assert {int(each) for each in described} - asked == {301, 404, 429}
