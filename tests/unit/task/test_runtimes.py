"""Who says which runtime a container gets."""

from __future__ import annotations

import pytest

from agent.task import runtimes
from agent.task.definition import TaskDefinition

LABEL, TAG = {"hostler.runtime": "of-container"}, "hostler:runtime"


@pytest.mark.parametrize(
    ("label", "tag", "of_definition", "expected"),
    [
        ({}, {}, {}, ""),
        ({}, {}, {TAG: "of-definition"}, "of-definition"),
        ({}, {TAG: "of-task"}, {TAG: "of-definition"}, "of-task"),
        (LABEL, {TAG: "of-task"}, {TAG: "of-definition"}, "of-container"),
        ({"hostler.runtime": ""}, {TAG: "of-task"}, {}, "of-task"),
        ({"other": "x"}, {"other": "y"}, {"other": "z"}, ""),
    ],
)
def test_the_nearest_word_counts(
    label: dict[str, str], tag: dict[str, str], of_definition: dict[str, str], expected: str
) -> None:
    given = {
        "family": "test",
        "containerDefinitions": [
            {"name": "app", "image": "i", "memory": 8, "dockerLabels": label},
        ],
        "tags": [{"key": key, "value": value} for key, value in of_definition.items()],
    }
    definition = TaskDefinition.model_validate(given)
    tags = [{"key": key, "value": value} for key, value in tag.items()]
    assert runtimes.asked(definition, tags) == {"app": expected}
