"""Tests of finding a container by its endpoint id."""

from dataclasses import replace

import pytest

from metadata.source import RoleFacts
from tests.unit.metadata.facts import FULL, FULL_TASK, PAUSE, PULLED


def test_a_container_is_found_by_its_id_once_it_exists() -> None:
    assert FULL_TASK.container("id-web") is FULL
    created = replace(PULLED, docker_id="51de")
    assert replace(FULL_TASK, containers=(FULL, created)).container("id-side") is created


@pytest.mark.parametrize("endpoint_id", ["id-side", "5b1e", "web", ""])
def test_nothing_else_is_an_endpoint_id(endpoint_id: str) -> None:
    assert PAUSE.endpoint_id == ""
    assert FULL_TASK.container(endpoint_id) is None


def test_what_opens_credentials_is_not_in_a_traceback() -> None:
    assert "secret" not in repr(replace(FULL_TASK, role=RoleFacts("secret-id", "arn", "secret")))
