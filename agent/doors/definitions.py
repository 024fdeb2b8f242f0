"""The calls of ECS's API about task definitions."""

from __future__ import annotations

from agent.doors import requests, shapes
from agent.doors.desk import Body, Desk
from agent.doors.errors import ApiError, InvalidParameter
from agent.doors.requests import read
from agent.engine.store import Registered
from agent.task.definition import (
    DefinitionError,
    TaskDefinition,
    read_task_definition,
    unsupported,
    without_effect,
)


async def register_task_definition(desk: Desk, body: Body) -> Body:
    """Keeps a valid definition whose every feature works here; names all problems otherwise."""
    try:
        reading = read_task_definition(body)
    except DefinitionError as error:
        raise ApiError(str(error)) from error
    problems = unsupported(reading.definition)
    if problems:
        raise ApiError("; ".join(map(str, problems)))
    refuse_privileged(desk, reading.definition)
    registered = await desk.store.register(reading.definition, desk.clock())
    return {
        "taskDefinition": _shown(desk, registered),
        "tags": _tags(registered),
        "warnings": [
            *map(str, reading.warnings),
            *map(str, without_effect(reading.definition)),
            *desk.placing.warnings(reading.definition),
        ],
    }


async def describe_task_definition(desk: Desk, body: Body) -> Body:
    """The named revision, or the newest of a family that is ACTIVE."""
    asked = read(requests.DescribeTaskDefinition, body)
    registered = find_definition(desk, asked.task_definition)
    return {
        "taskDefinition": _shown(desk, registered),
        "tags": _tags(registered) if "TAGS" in asked.include else [],
    }


async def list_task_definitions(desk: Desk, body: Body) -> Body:
    """ARNs of all definitions of one status, by family and revision."""
    asked = read(requests.ListTaskDefinitions, body)
    found = [
        desk.definition_arn(each)
        for family, revisions in sorted(desk.store.definitions.items())
        if asked.family_prefix in (None, family)
        for each in sorted(revisions.values(), key=lambda each: each.revision)
        if asked.status == ("ACTIVE" if deregistered_at(desk, each) is None else "INACTIVE")
    ]
    if asked.sort == "DESC":
        found.reverse()
    return shapes.page("taskDefinitionArns", found, asked)


async def deregister_task_definition(desk: Desk, body: Body) -> Body:
    """No new task may use the revision, as ``terraform destroy`` wants it; tasks that do run on.

    Again changes nothing.
    """
    asked = read(requests.DeregisterTaskDefinition, body)
    if ":" not in asked.task_definition.rpartition("/")[2]:
        raise InvalidParameter(
            f"taskDefinition: {asked.task_definition} has no revision; name one: FAMILY:REVISION"
        )
    registered = find_definition(desk, asked.task_definition)
    revision = (registered.definition.family, registered.revision)
    await desk.store.notes.deregister(revision, desk.clock())
    return {"taskDefinition": _shown(desk, registered)}


CALLS = {
    "RegisterTaskDefinition": register_task_definition,
    "DescribeTaskDefinition": describe_task_definition,
    "ListTaskDefinitions": list_task_definitions,
    "DeregisterTaskDefinition": deregister_task_definition,
}
"""These calls, by name."""


def find_definition(desk: Desk, name: str) -> Registered:
    """The revision of this name or ARN, or the newest ACTIVE one of a family. Raises ApiError."""
    family, colon, revision = name.rpartition("/")[2].partition(":")
    revisions = desk.store.definitions.get(family, {})
    active = (number for number, each in revisions.items() if deregistered_at(desk, each) is None)
    wanted = revision if colon else str(max(active, default=0))
    for each in revisions.values():
        if str(each.revision) == wanted:
            return each
    raise ApiError("Unable to describe task definition.")


def deregistered_at(desk: Desk, registered: Registered) -> float | None:
    """Since when no new task may use the definition."""
    return desk.store.notes.deregistered.get((registered.definition.family, registered.revision))


def refuse_privileged(desk: Desk, definition: TaskDefinition) -> None:
    """Raises ApiError for a definition that this host's administrator does not want."""
    asked = [each.name for each in definition.container_definitions if each.privileged]
    if asked and desk.settings.privileged_disabled:
        raise ApiError(
            f"privileged: not allowed on this host (ECS_DISABLE_PRIVILEGED), "
            f"but container {', '.join(asked)} asks for it"
        )


def _shown(desk: Desk, registered: Registered) -> Body:
    """A task definition as the API shows it."""
    arn, since = desk.definition_arn(registered), deregistered_at(desk, registered)
    return shapes.definition(registered, arn, since)


def _tags(registered: Registered) -> list[Body]:
    return [{"key": each.key, "value": each.value} for each in registered.definition.tags]
