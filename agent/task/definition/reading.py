"""From ECS JSON to a ``TaskDefinition``, with every problem named, and back to JSON.

Takes what RegisterTaskDefinition takes and what DescribeTaskDefinition prints. The trick for
unknown fields: the structures refuse them, so the first pass finds each with its place; they become
warnings, are taken out, and the second pass sees the rest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.task.definition.container import ContainerDefinition
from agent.task.definition.container_rules import container_problems
from agent.task.definition.problems import (
    MOST_PROBLEMS,
    DefinitionError,
    Problem,
    close_to,
    json_path,
    the_first,
)
from agent.task.definition.shape import Shape
from agent.task.definition.task import TaskDefinition
from agent.task.definition.task_rules import task_problems

READ_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)
_OUTER = frozenset({"taskDefinition", "tags", "failures", "ResponseMetadata"})
_EMPTY_IS_ABSENT = frozenset({"taskRoleArn", "executionRoleArn"})
_DEPTH = 32

AnyShape = TypeVar("AnyShape", bound=Shape)

_CURES = {
    "extra_forbidden": "is not a field of ECS: remove it or correct its name",
    "missing": "is required: add it",
    "string_type": "must be text: put it in quotes",
    "string_unicode": "must be valid Unicode",
    "string_pattern_mismatch": "must not contain a NUL character",
    "int_type": "must be a whole number without quotes",
    "bool_type": "must be true or false without quotes",
    "tuple_type": "must be a list: put it in [ ]",
    "dict_type": "must be an object with text values",
    "model_type": "must be an object: put it in { }",
    "greater_than_equal": "is too small a number",
    "less_than_equal": "is too large a number",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A definition that was accepted, and the fields in it that nobody knows."""

    definition: TaskDefinition
    warnings: tuple[Problem, ...] = ()


def read_task_definition(data: object) -> Reading:
    """A valid definition from decoded JSON, as registered or as described.

    Read-only fields of a described definition are dropped. Raises ``DefinitionError`` with every
    problem found; when a field has the wrong type, the rules between containers have to wait.
    """
    plain = _plain(_inner(data))
    definition, errors = _attempt(plain)
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    warnings = tuple(_warning(error) for error in unknown[:MOST_PROBLEMS])
    if unknown:
        for error in unknown:
            _take_out(plain, error["loc"])
        definition, errors = _attempt(plain)
    if definition is None:
        found = chain(map(_problem, errors), _sound_containers(plain, errors))
        raise DefinitionError(the_first(found))
    problems = tuple(the_first(definition_problems(definition)))
    if problems:
        raise DefinitionError(problems)
    return Reading(definition, warnings)


def to_api(definition: TaskDefinition) -> dict[str, Any]:
    """The definition in the JSON of the ECS API: what was given and nothing else."""
    return definition.model_dump(mode="json", by_alias=True, exclude_unset=True)


def definition_problems(definition: TaskDefinition) -> Iterator[Problem]:
    """What breaks a limit of ECS in a definition whose fields all have the right type."""
    yield from task_problems(definition)
    for index, container in enumerate(definition.container_definitions):
        for problem in container_problems(container):
            yield problem.under(f"containerDefinitions[{index}]")


def validated(kind: type[AnyShape], data: object) -> AnyShape:
    """A structure from JSON in the API's spelling, or ``DefinitionError``."""
    try:
        return kind.model_validate(_plain(data), by_alias=True, by_name=False)
    except ValidationError as error:
        raise DefinitionError(the_first(map(_problem, error.errors()))) from None


def _inner(data: object) -> object:
    """The definition out of what describe-task-definition prints around it."""
    if not isinstance(data, dict) or "taskDefinition" not in data or not data.keys() <= _OUTER:
        return data
    inner = data["taskDefinition"]
    if isinstance(inner, dict) and "tags" not in inner and data.get("tags"):
        return {**inner, "tags": data["tags"]}
    return inner


def _plain(data: object) -> Any:
    """A copy to work on: no nulls, no read-only fields, no empty roles (tools send all three)."""
    if not isinstance(data, dict):
        raise DefinitionError([Problem("", "must be a JSON object")])
    kept = {
        key: value
        for key, value in data.items()
        if key not in READ_ONLY and not (key in _EMPTY_IS_ABSENT and value == "")
    }
    return _without_nulls(kept, _DEPTH)


def _without_nulls(value: object, depth: int) -> object:
    if depth == 0:
        raise DefinitionError([Problem("", f"is nested more than {_DEPTH} levels deep")])
    if isinstance(value, dict):
        return {
            key: _without_nulls(each, depth - 1) for key, each in value.items() if each is not None
        }
    if isinstance(value, list):
        return [_without_nulls(each, depth - 1) for each in value]
    return value


def _attempt(plain: object) -> tuple[TaskDefinition | None, list[ErrorDetails]]:
    try:
        definition = TaskDefinition.model_validate(plain, by_alias=True, by_name=False)
    except ValidationError as error:
        return None, error.errors(include_url=False)
    return definition, []


def _warning(error: ErrorDetails) -> Problem:
    *parents, name = error["loc"]
    close = close_to(str(name), _fields_at(parents))
    cure = f"did you mean {close}?" if close else "remove it or correct its name"
    return Problem(json_path(error["loc"]), f"is not a field of ECS and is ignored: {cure}")


def _fields_at(location: Iterable[int | str]) -> list[str]:
    """The names a field could have had at a place, from the JSON schema of the structures."""
    schema = _schema()
    definitions, here = schema["$defs"], schema
    for step in location:
        here = here["items"] if isinstance(step, int) else here["properties"][step]
        here = next(
            (each for each in here.get("anyOf", ()) if "$ref" in each or "items" in each), here
        )
        if "$ref" in here:
            here = definitions[here["$ref"].rsplit("/", 1)[1]]
    return list(here["properties"])


@cache
def _schema() -> dict[str, Any]:
    return TaskDefinition.model_json_schema()


def _take_out(plain: Any, location: tuple[int | str, ...]) -> None:
    for step in location[:-1]:
        plain = plain[step]
    del plain[location[-1]]


def _problem(error: ErrorDetails) -> Problem:
    kind = error["type"]
    if kind == "literal_error":
        message = f"must be {error['ctx']['expected']}"
    else:
        message = _CURES.get(kind, error["msg"])
    location = [step for step in error["loc"] if step != "[key]"]
    return Problem(json_path(location), message)


def _sound_containers(plain: Any, errors: list[ErrorDetails]) -> Iterator[Problem]:
    """What is wrong beside errors of type: the rules of those containers that have none."""
    containers = plain.get("containerDefinitions")
    faulty = {error["loc"][:2] for error in errors}
    for index, data in enumerate(containers if isinstance(containers, list) else ()):
        path = ("containerDefinitions", index)
        if path not in faulty:
            container = ContainerDefinition.model_validate(data, by_alias=True, by_name=False)
            for problem in container_problems(container):
                yield problem.under(json_path(path))
