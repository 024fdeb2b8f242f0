"""One function per call of ECS's API: read what is asked, then ask the feed or the fleet."""

from __future__ import annotations

import asyncio
import os
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agent.doors import admission, placement, requests, shapes
from agent.doors.admission import NetworkRules
from agent.doors.errors import ApiError, ClusterNotFound, InvalidParameter
from agent.doors.placement import GpuRoom, Unfit
from agent.doors.placing import Placing
from agent.doors.requests import Request, read
from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import Registered, Store
from agent.host.gpus.inventory import Gpus
from agent.settings import Settings
from agent.task import capacity, names, status
from agent.task.definition import (
    DefinitionError,
    TaskDefinition,
    apply_overrides,
    read_task_definition,
    unsupported,
    without_effect,
)
from agent.task.model import ContainerIdentity, StopRequest, Task, TaskId

Body = dict[str, Any]
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls work with. ``admitting``: tasks are let in one request after the other.

    ``machine`` is this host's processor in the words of uname.
    """

    settings: Settings
    store: Store
    fleet: Fleet
    feed: Feed
    clock: Callable[[], float]
    networks: NetworkRules = field(default_factory=NetworkRules)
    admitting: asyncio.Lock = field(default_factory=asyncio.Lock)
    placing: Placing = field(default_factory=Placing)
    gpus: Gpus = field(default_factory=Gpus)
    machine: str = field(default_factory=lambda: os.uname().machine)

    @property
    def cluster_arn(self) -> str:
        """ARN of the one cluster there is."""
        return names.cluster_arn(self.settings.region, self.settings.account, self.settings.cluster)

    def definition_arn(self, registered: Registered) -> str:
        """ARN of a registered task definition."""
        return names.definition_arn(
            self.settings.region,
            self.settings.account,
            registered.definition.family,
            registered.revision,
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
    _refuse_privileged(desk, reading.definition)
    registered = await desk.store.register(reading.definition, desk.clock())
    return {
        "taskDefinition": show_definition(desk, registered),
        "tags": _definition_tags(registered),
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
        "taskDefinition": show_definition(desk, registered),
        "tags": _definition_tags(registered) if "TAGS" in asked.include else [],
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
    return _page("taskDefinitionArns", found, asked)


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
        _refuse_privileged(desk, definition)
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
    return _page("taskArns", found, asked)


async def describe_clusters(desk: Desk, body: Body) -> Body:
    """The one cluster; any other that is named is MISSING."""
    asked = read(requests.DescribeClusters, body)
    last = [status.task_last(each.intent, each.progress) for each in desk.feed]
    clusters, failures = [], []
    for name in asked.clusters or [desk.cluster_arn]:
        if name in (desk.cluster_arn, desk.settings.cluster):
            counts = (last.count("RUNNING"), last.count("PENDING"))
            clusters.append(shapes.cluster(desk.cluster_arn, *counts))
        else:
            head = desk.cluster_arn.rpartition("/")[0]
            failures.append(shapes.missing(f"{head}/{name.rpartition('/')[2]}"))
    return {"clusters": clusters, "failures": failures}


CALLS = {
    "RegisterTaskDefinition": register_task_definition,
    "DescribeTaskDefinition": describe_task_definition,
    "ListTaskDefinitions": list_task_definitions,
    "RunTask": run_task,
    "StopTask": stop_task,
    "DescribeTasks": describe_tasks,
    "ListTasks": list_tasks,
    "DescribeClusters": describe_clusters,
}
"""The calls of ECS's API that are served, by name."""


def in_cluster(desk: Desk, model: type[R], body: Body) -> R:
    """What is asked of the one cluster there is. Raises ClusterNotFound, InvalidParameter."""
    asked = read(model, body)
    if asked.cluster not in (None, "", desk.settings.cluster, desk.cluster_arn):
        raise ClusterNotFound("Cluster not found.")
    return asked


def find_task(desk: Desk, name: str) -> Picture:
    """The task of this id or ARN. Raises InvalidParameter, in ECS's words, if there is none."""
    picture = desk.feed.pictures.get(id_in(name))
    if picture is None:
        raise InvalidParameter("The referenced task was not found.")
    return picture


def id_in(name: str) -> TaskId:
    """The id that a task is named by, or that its ARN ends in."""
    return TaskId(name.rpartition("/")[2])


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


def show_definition(desk: Desk, registered: Registered) -> Body:
    """A task definition as the API shows it."""
    arn, since = desk.definition_arn(registered), deregistered_at(desk, registered)
    return shapes.definition(registered, arn, since)


def deregistered_at(desk: Desk, registered: Registered) -> float | None:
    """Since when no new task may use the definition."""
    return desk.store.notes.deregistered.get((registered.definition.family, registered.revision))


def _refuse_privileged(desk: Desk, definition: TaskDefinition) -> None:
    """Raises ApiError for a definition that this host's administrator does not want."""
    asked = [each.name for each in definition.container_definitions if each.privileged]
    if asked and desk.settings.privileged_disabled:
        raise ApiError(
            f"privileged: not allowed on this host (ECS_DISABLE_PRIVILEGED), "
            f"but container {', '.join(asked)} asks for it"
        )


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


def _page(key: str, found: Sequence[str], asked: requests.Page) -> Body:
    begin = int(asked.next_token or 0)
    end = begin + asked.max_results
    more = {"nextToken": str(end)} if end < len(found) else {}
    return {key: list(found[begin:end]), **more}


def _definition_tags(registered: Registered) -> list[Body]:
    return [{"key": each.key, "value": each.value} for each in registered.definition.tags]
