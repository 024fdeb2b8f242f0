"""The two calls of ECS's API for task protection; tasks have a way of their own (``guardian``)."""

from __future__ import annotations

from agent.doors import requests, shapes
from agent.doors.desk import Body, Desk, id_in, in_cluster
from agent.doors.errors import InvalidParameter
from agent.engine.feed import Picture
from agent.task import names, protection


async def update_task_protection(desk: Desk, body: Body) -> Body:
    """Protects the named tasks from now on, or does so no more."""
    asked = in_cluster(desk, requests.UpdateTaskProtection, body)
    try:
        lasting = protection.lasting(asked.expires_in_minutes, desk.clock())
    except ValueError as error:
        raise InvalidParameter(str(error)) from error
    found, failures = _found(desk, asked.tasks)
    for each in found:
        wanted = lasting if asked.protection_enabled else None
        await desk.fleet.protect(each.intent.task.id, wanted)
    return _answer(desk, found, failures)


async def get_task_protection(desk: Desk, body: Body) -> Body:
    """Whether the named tasks are protected, and until when."""
    asked = in_cluster(desk, requests.GetTaskProtection, body)
    if not asked.tasks:
        return _answer(desk, [each for each in desk.feed if _possible(each)], [])
    return _answer(desk, *_found(desk, asked.tasks))


CALLS = {
    "UpdateTaskProtection": update_task_protection,
    "GetTaskProtection": get_task_protection,
}
"""These calls, by name."""


def _found(desk: Desk, wanted: list[str]) -> tuple[list[Picture], list[Body]]:
    """The tasks that can be protected, and a failure for each other."""
    found: list[Picture] = []
    failures: list[Body] = []
    for name in dict.fromkeys(map(id_in, wanted)):
        picture = desk.feed.pictures.get(name)
        if picture is None:
            failures.append(shapes.missing(names.task_arn(desk.cluster_arn, name)))
        elif not _possible(picture):
            failures.append({"arn": picture.intent.task.arn, "reason": protection.NOT_VALID})
        else:
            found.append(picture)
    return found, failures


def _possible(picture: Picture) -> bool:
    return protection.possible(picture.intent, picture.progress)


def _answer(desk: Desk, found: list[Picture], failures: list[Body]) -> Body:
    intents = [desk.store.intents[each.intent.task.id] for each in found]
    now = desk.clock()
    protected = [shapes.protection(each, protection.until(each, now)) for each in intents]
    return {"protectedTasks": protected, "failures": failures}
