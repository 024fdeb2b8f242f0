"""RunTask overrides."""

from typing import Any

import pytest

from agent.task.definition import (
    DefinitionError,
    KeyValuePair,
    TaskDefinition,
    apply_overrides,
    read_task_definition,
    to_api,
)
from tests.unit.task.test_definition import task, web


@pytest.fixture
def shop() -> TaskDefinition:
    environment = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    return read_task_definition(task(web(environment=environment), web(name="log"))).definition


def override(**fields: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "web", **fields}]}


def paths(definition: TaskDefinition, overrides: object) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        apply_overrides(definition, overrides)
    return [problem.path for problem in caught.value.problems]


def test_values_of_one_container_are_replaced(shop: TaskDefinition) -> None:
    changed = apply_overrides(shop, override(command=["ls"], cpu=5, memory=99))
    first, second = changed.container_definitions
    assert (first.command, first.cpu, first.memory) == (("ls",), 5, 99)
    assert second == shop.container_definitions[1]


def test_variables_are_merged_by_name(shop: TaskDefinition) -> None:
    new = [{"name": "B", "value": "x"}, {"name": "C", "value": "y"}]
    changed = apply_overrides(shop, override(environment=new))
    assert changed.container_definitions[0].environment == (
        KeyValuePair(name="A", value="1"),
        KeyValuePair(name="B", value="x"),
        KeyValuePair(name="C", value="y"),
    )


def test_sizes_and_roles_of_the_task_are_replaced(shop: TaskDefinition) -> None:
    changed = apply_overrides(shop, {"cpu": "1 vCPU", "memory": "512", "taskRoleArn": "arn"})
    assert (changed.cpu, changed.memory, changed.task_role_arn) == (1024, 512, "arn")
    assert to_api(changed)["cpu"] == "1024"


def test_no_overrides_change_nothing(shop: TaskDefinition) -> None:
    assert apply_overrides(shop, {}) == shop


def test_an_unknown_container_is_refused(shop: TaskDefinition) -> None:
    wrong = {"containerOverrides": [{"name": "web"}, {"name": "wob"}]}
    assert paths(shop, wrong) == ["containerOverrides[1].name"]


def test_an_unknown_field_is_refused(shop: TaskDefinition) -> None:
    assert paths(shop, override(image="x")) == ["containerOverrides[0].image"]


def test_a_result_beyond_the_limits_is_refused(shop: TaskDefinition) -> None:
    assert paths(shop, {"memory": "70", **override(memory=71)}) == [
        "containerDefinitions[0].memory"
    ]


@pytest.mark.parametrize("overrides", [None, [], "x", {"cpu": []}])
def test_something_else_than_overrides_is_refused(shop: TaskDefinition, overrides: object) -> None:
    assert paths(shop, overrides)


def test_a_size_of_fargates_disk_is_refused(shop: TaskDefinition) -> None:
    with pytest.raises(DefinitionError, match="ephemeralStorage: is the size of a disk"):
        apply_overrides(shop, {"ephemeralStorage": {"sizeInGiB": 30}})
