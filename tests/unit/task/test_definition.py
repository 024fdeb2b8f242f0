"""Reading ECS JSON: what is accepted, what is warned of, and how it is written back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.task.definition import (
    DefinitionError,
    TaskDefinition,
    read_task_definition,
    to_api,
    unsupported,
)

EXAMPLES = Path(__file__).parents[3] / "examples/taskdefs"


def web(**fields: Any) -> dict[str, Any]:
    return {"name": "web", "image": "nginx", "memory": 64, **fields}


def task(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"family": "shop", "containerDefinitions": list(containers or [web()]), **fields}


def problems(data: object) -> dict[str, str]:
    with pytest.raises(DefinitionError) as caught:
        read_task_definition(data)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_fields_have_the_defaults_of_ecs() -> None:
    container = read_task_definition(task(web(healthCheck={"command": ["CMD", "true"]})))
    (only,) = container.definition.container_definitions
    assert only.essential
    assert only.cpu == 0
    check = only.health_check
    assert check is not None
    assert (check.interval, check.timeout, check.retries, check.start_period) == (30, 5, 3, 0)
    assert container.definition.network_mode == "bridge"


def test_what_was_registered_is_written_back_and_nothing_else() -> None:
    data = task(web(portMappings=[{"containerPort": 80}], essential=True), cpu="256", memory="512")
    assert to_api(read_task_definition(data).definition) == data


@pytest.mark.parametrize(
    ("cpu", "memory"), [("256", "512"), (256, 512), (".25 vCPU", "0.5 GB"), ("0.25vcpu", ".5GB")]
)
def test_task_sizes_become_numbers(cpu: object, memory: object) -> None:
    definition = read_task_definition(task(cpu=cpu, memory=memory)).definition
    assert (definition.cpu, definition.memory) == (256, 512)
    assert to_api(definition)["cpu"] == "256"


@pytest.mark.parametrize("cpu", ["", "one", "0.3333", "1 GB", True, 1.5, "-1", "1e3", {}])
def test_a_task_size_that_is_no_amount_is_refused(cpu: object) -> None:
    assert list(problems(task(cpu=cpu))) == ["cpu"]


def test_a_described_definition_is_read_as_it_was_printed() -> None:
    printed = {
        "taskDefinition": task(
            taskDefinitionArn="arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3",
            revision=3,
            status="ACTIVE",
            requiresAttributes=[{"name": "ecs.capability.task-eni"}],
            compatibilities=["EC2"],
            registeredAt=1700000000.5,
            registeredBy="arn:aws:iam::111122223333:root",
        ),
        "tags": [{"key": "team", "value": "shop"}],
    }
    reading = read_task_definition(printed)
    assert reading.warnings == ()
    assert reading.definition.tags[0].key == "team"


def test_an_empty_role_and_a_null_count_as_absent() -> None:
    data = task(web(user=None), taskRoleArn="", executionRoleArn="", pidMode=None)
    assert to_api(read_task_definition(data).definition) == task()


def test_an_unknown_field_is_named_with_its_place_and_a_guess() -> None:
    data = task(web(), web(name="b", portMappings=[{"containerPort": 80, "hostPrt": 1}]), famly="x")
    warnings = {each.path: each.message for each in read_task_definition(data).warnings}
    assert set(warnings) == {"containerDefinitions[1].portMappings[0].hostPrt", "famly"}
    assert "hostPort" in warnings["containerDefinitions[1].portMappings[0].hostPrt"]
    assert "family" in warnings["famly"]


def test_python_spelling_is_not_accepted_in_json() -> None:
    reading = read_task_definition(task(web(port_mappings=[])))
    assert [each.path for each in reading.warnings] == ["containerDefinitions[0].port_mappings"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory", "512"), ("essential", "true"), ("essential", 1), ("command", "ls"), ("cpu", 1.0)],
)
def test_types_are_as_strict_as_the_api(field: str, value: object) -> None:
    assert list(problems(task(web(**{field: value})))) == [f"containerDefinitions[0].{field}"]


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        task(
            web(memory="64", image=7),
            web(name="b b", cpu=-1),
            family=1,
        )
    )
    assert set(found) == {
        "containerDefinitions[0].memory",
        "containerDefinitions[0].image",
        "containerDefinitions[1].name",
        "containerDefinitions[1].cpu",
        "family",
    }


@pytest.mark.parametrize("data", [None, [], "x", 3, {"taskDefinition": None}])
def test_something_else_than_an_object_is_refused(data: object) -> None:
    assert list(problems(data)) == [""]


def test_endless_nesting_is_refused() -> None:
    deep: object = []
    for _ in range(5000):
        deep = [deep]
    assert "nested" in problems(task(x=deep))[""]


def test_the_examples_are_valid_and_can_be_run() -> None:
    files = sorted(EXAMPLES.glob("*.json"))
    assert len(files) >= 3
    for file in files:
        reading = read_task_definition(json.loads(file.read_text()))
        assert reading.warnings == (), file
        assert unsupported(reading.definition) == (), file


SCHEMA = TaskDefinition.model_json_schema()
FIELDS = st.sampled_from(
    [
        *SCHEMA["properties"],
        *SCHEMA["$defs"]["ContainerDefinition"]["properties"],
        *("CMD", "a", "tcp", "START", "80-90"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | FIELDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_no_json_raises_anything_but_a_definition_error(data: object) -> None:
    for wrapped in (data, task(data) if isinstance(data, dict) else data, {"taskDefinition": data}):
        try:
            definition = read_task_definition(wrapped).definition
        except DefinitionError:
            continue
        assert read_task_definition(to_api(definition)).definition == definition


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_no_field_raises_anything_but_a_definition_error(fields: dict[str, Any]) -> None:
    try:
        definition = read_task_definition({**fields, **task({**web(), **fields})}).definition
    except DefinitionError:
        return
    assert read_task_definition(to_api(definition)).definition == definition
