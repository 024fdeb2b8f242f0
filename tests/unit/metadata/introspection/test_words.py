"""Tests of the words that introspection and metrics use for statuses."""

from dataclasses import replace

import pytest

from metadata.introspection import words
from tests.unit.metadata.facts import BARE_TASK


@pytest.mark.parametrize(
    ("internal", "shown"),
    [
        ("NONE", "PENDING"),
        ("MANIFEST_PULLED", "PENDING"),
        ("PULLED", "PENDING"),
        ("CREATED", "PENDING"),
        ("RESOURCES_PROVISIONED", "PENDING"),
        ("RUNNING", "RUNNING"),
        ("STOPPED", "STOPPED"),
        ("", "PENDING"),
    ],
)
def test_everything_before_running_is_pending(internal: str, shown: str) -> None:
    assert words.backend(internal) == shown


@pytest.mark.parametrize(
    ("desired", "known", "shown"),
    [
        ("RUNNING", "CREATED", "RUNNING"),
        ("RUNNING", "RUNNING", "RUNNING"),
        ("STOPPED", "RUNNING", "STOPPED"),
        ("STOPPED", "STOPPED", "STOPPED"),
        ("STOPPED", "NONE", "STOPPED"),
        ("CREATED", "NONE", "PENDING"),
        ("RUNNING", "STOPPED", None),
        ("CREATED", "STOPPED", None),
        ("CREATED", "RUNNING", None),
        ("", "RUNNING", None),
    ],
)
def test_a_desired_status_that_contradicts_the_known_one_is_left_out(
    desired: str, known: str, shown: str | None
) -> None:
    assert words.shown_desired(desired, known) == shown


@pytest.mark.parametrize(
    ("known", "desired", "last"),
    [
        ("NONE", "RUNNING", "PENDING"),
        ("CREATED", "RUNNING", "PENDING"),
        ("CREATED", "STOPPED", "STOPPING"),
        ("RUNNING", "RUNNING", "RUNNING"),
        ("RUNNING", "STOPPED", "STOPPING"),
        ("STOPPED", "STOPPED", "STOPPED"),
        ("STOPPED", "RUNNING", "STOPPED"),
        ("RUNNING", "", "RUNNING"),
    ],
)
def test_the_last_status_is_that_of_the_api(known: str, desired: str, last: str) -> None:
    task = replace(BARE_TASK, known_status=known, desired_status=desired)
    assert words.last_status(task) == last
