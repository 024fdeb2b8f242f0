"""The call of ECS's API that takes a task definition out of use, as ``terraform destroy`` does."""

from __future__ import annotations

from agent.doors import requests
from agent.doors.errors import InvalidParameter
from agent.doors.operations import Body, Desk, find_definition, show_definition
from agent.doors.requests import read


async def deregister_task_definition(desk: Desk, body: Body) -> Body:
    """No new task may use the revision; tasks that do run on. Again changes nothing."""
    asked = read(requests.DeregisterTaskDefinition, body)
    if ":" not in asked.task_definition.rpartition("/")[2]:
        raise InvalidParameter(
            f"taskDefinition: {asked.task_definition} has no revision; name one: FAMILY:REVISION"
        )
    registered = find_definition(desk, asked.task_definition)
    revision = (registered.definition.family, registered.revision)
    await desk.store.notes.deregister(revision, desk.clock())
    return {"taskDefinition": show_definition(desk, registered)}


CALLS = {"DeregisterTaskDefinition": deregister_task_definition}
"""This call, by name."""
