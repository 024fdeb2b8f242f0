"""Tests of finding a container by its endpoint id."""

from dataclasses import replace

import pytest

from metadata.source import Owner, RoleFacts
from tests.unit.metadata.facts import FULL, FULL_TASK, OWNER, PAUSE, PULLED


def test_a_container_is_found_by_its_id_once_it_exists() -> None:
    assert FULL_TASK.container(OWNER, "id-web") is FULL
    created = replace(PULLED, docker_id="51de")
    assert replace(FULL_TASK, containers=(FULL, created)).container(OWNER, "id-side") is created


@pytest.mark.parametrize("endpoint_id", ["id-side", "5b1e", "web", ""])
def test_nothing_else_is_an_endpoint_id(endpoint_id: str) -> None:
    assert PAUSE.endpoint_id == ""
    assert FULL_TASK.container(OWNER, endpoint_id) is None


def test_what_opens_credentials_is_not_in_a_traceback() -> None:
    assert "secret" not in repr(replace(FULL_TASK, role=RoleFacts("secret-id", "arn", "secret")))


def test_to_another_owner_a_task_has_no_container() -> None:
    assert FULL_TASK.container(Owner("task-two"), "id-web") is None
