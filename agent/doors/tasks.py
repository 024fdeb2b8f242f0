"""The calls of ECS's API about tasks: read what is asked, then ask the feed or the fleet."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace

from agent.doors import admission, placement, requests, shapes
from agent.doors.definitions import deregistered_at, find_definition, refuse_privileged
from agent.doors.desk import Body, Desk, find_task, id_in, in_cluster
from agent.doors.errors import ApiError, InvalidParameter
from agent.doors.placement import GpuRoom, Unfit
from agent.engine.feed import Picture
from agent.engine.store import Registered
from agent.task import capacity, names, status
from agent.task.definition import (
    DefinitionError,
    TaskDefinition,
    apply_overrides,
    unsupported,
)
from agent.task.model import ContainerIdentity, StopRequest, Task, TaskId


async def run_task(desk: Desk, body: Body) -> Body:
    """Accepts ``count`` tasks; what can't run here is in ``failures``, as ECS answers."""
    asked = in_cluster(desk, requests.RunTask, body)
    async with desk.admitting:
        made = admission.repeated(asked, desk.feed)
        if made:
            return {"tasks": [shapes.task(each, tags=True) for each in made], "failures": []}
        if desk.store.notes.draining:
            raise InvalidParameter("No Container Instances were found in your cluster.")
        registered = find_definition(desk, asked.task_definition)
        if deregistered_at(desk, registered) is not None:
            raise ApiError("TaskDefinition is inactive")
        definition = _overridden(registered.definition, asked)
        refuse_privileged(desk, definition)
        room = await placement.room(definition, desk.gpus, desk.feed)
        tasks, failures = _admitted(desk, asked, registered, definition, room)
        await desk.fleet.accept(*tasks)
    return {
        "tasks": [shapes.task(desk.feed.pictures[each.id], tags=True) for each in tasks],
        "failures": failures,
    }


async def stop_task(desk: Desk, body: Body) -> Body:
    """Asks for a graceful stop; asking again changes nothing, except that it may add force."""
    asked = in_cluster(desk, requests.StopTask, body)
    task_id = find_task(desk, asked.task).intent.task.id
    await desk.fleet.stop(task_id, StopRequest(desk.clock(), asked.reason, asked.force))
    return {"task": shapes.task(desk.feed.pictures[task_id], tags=True)}


async def describe_tasks(desk: Desk, body: Body) -> Body:
    """The named tasks; unknown ones are in ``failures`` with the reason MISSING."""
    asked = in_cluster(desk, requests.DescribeTasks, body)
    tasks, failures = [], []
    for name in asked.tasks:
        picture = desk.feed.pictures.get(id_in(name))
        if picture is None:
            arn = names.task_arn(desk.cluster_arn, id_in(name))
            failures.append(shapes.missing(arn))
        else:
            tasks.append(shapes.task(picture, tags="TAGS" in asked.include))
    return {"tasks": tasks, "failures": failures}


async def list_tasks(desk: Desk, body: Body) -> Body:
    """ARNs of the tasks that match every filter given."""
    asked = in_cluster(desk, requests.ListTasks, body)
    found = [each.intent.task.arn for each in desk.feed if _matches(each, asked)]
    return shapes.page("taskArns", found, asked)


CALLS = {
    "RunTask": run_task,
    "StopTask": stop_task,
    "DescribeTasks": describe_tasks,
    "ListTasks": list_tasks,
}
"""These calls, by name."""


def _overridden(definition: TaskDefinition, asked: requests.RunTask) -> TaskDefinition:
    """With the request's overrides in effect. Raises InvalidParameter for what can't be."""
    try:
        changed = apply_overrides(definition, asked.overrides)
    except DefinitionError as error:
        raise InvalidParameter(str(error)) from error
    problems = unsupported(changed)
    if problems:
        raise InvalidParameter("; ".join(map(str, problems)))
    return changed


def _admitted(
    desk: Desk,
    asked: requests.RunTask,
    registered: Registered,
    definition: TaskDefinition,
    room: GpuRoom,
) -> tuple[list[Task], list[Body]]:
    """The tasks that there is room for, and a failure for each of the others."""
    tasks: list[Task] = []
    failures: list[Body] = []
    queue, need = desk.fleet.queue, capacity.need(definition)
    kept = admission.kept(desk.feed, queue.need)
    for _ in range(asked.count):
        made = desk.placing.placed(_new_task(desk, asked, registered, definition))
        admission.check_network(asked, made, desk.networks)
        short = admission.refusal(need, queue.capacity, kept)
        place = placement.foreign(definition, desk.machine) or (
            Unfit(f"RESOURCE:{short}", "") if short else room.choose(definition)
        )
        if isinstance(place, Unfit):
            failures.append(place.failure(names.container_instance_arn(desk.cluster_arn)))
        else:
            tasks.append(replace(made, gpus=place))
            kept.update(capacity.places(need))
    return tasks, failures


def _new_task(
    desk: Desk, asked: requests.RunTask, registered: Registered, definition: TaskDefinition
) -> Task:
    task_id = TaskId(uuid.uuid4().hex)
    # Decided once: a task that begins without credentials goes on without.
    lent = desk.settings.task_roles.exists()
    on_host = definition.network_mode == "host"
    return Task(
        id=task_id,
        arn=names.task_arn(desk.cluster_arn, task_id),
        cluster_arn=desk.cluster_arn,
        definition=definition,
        definition_arn=desk.definition_arn(registered),
        revision=registered.revision,
        containers=tuple(
            ContainerIdentity(each.name, endpoint_id=str(uuid.uuid4()), arn_id=str(uuid.uuid4()))
            for each in definition.container_definitions
        ),
        accepted_at=desk.clock(),
        group=asked.group or f"family:{definition.family}",
        started_by=asked.started_by,
        overrides=asked.overrides,
        tags=_task_tags(asked, registered),
        client_token=asked.client_token,
        subnets=tuple(asked.awsvpc.subnets),
        security_groups=tuple(asked.awsvpc.security_groups),
        credentials_id=str(uuid.uuid4()) if lent and definition.task_role_arn else "",
        execution_credentials_id=(
            str(uuid.uuid4()) if lent and definition.execution_role_arn else ""
        ),
        credentials_token=secrets.token_urlsafe(32) if on_host else "",
    )


def _task_tags(asked: requests.RunTask, registered: Registered) -> tuple[dict[str, str], ...]:
    """The request's tags, over those of the definition where they are to be propagated."""
    propagated = asked.propagate_tags == "TASK_DEFINITION"
    tags = {each.key: each.value for each in registered.definition.tags if propagated}
    tags.update({each.key: each.value for each in asked.tags})
    return tuple({"key": key, "value": value} for key, value in tags.items())


def _matches(picture: Picture, asked: requests.ListTasks) -> bool:
    task = picture.intent.task
    host = names.container_instance_arn(task.cluster_arn)
    return (
        status.desired(picture.intent, picture.progress) == asked.desired_status
        and asked.family in (None, task.definition.family)
        and asked.started_by in (None, task.started_by)
        and (asked.service_name is None or f"service:{asked.service_name}" == task.group)
        and asked.launch_type in (None, shapes.LAUNCH_TYPE)
        and asked.container_instance in (None, host, host.rpartition("/")[2])
    )
