"""One function per call of the API: read what is asked, look at the feed or hand it to the fleet."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.config import Settings
from agent.doors import requests, shapes
from agent.doors.errors import ApiError, ClusterNotFound, InvalidParameter
from agent.doors.requests import Request, read
from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import Registered, Store
from agent.task import names, status
from agent.task.definition import (
    DefinitionError,
    TaskDefinition,
    apply_overrides,
    read_task_definition,
    unsupported,
)
from agent.task.model import ContainerIdentity, StopRequest, Task, TaskId

Body = dict[str, Any]
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this host has: memory in MiB, CPU in units of 1/1024 core."""

    memory_mib: int
    cpu_units: int


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls work with."""

    settings: Settings
    store: Store
    fleet: Fleet
    feed: Feed
    clock: Callable[[], float]
    capacity: Capacity

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
    registered = await desk.store.register(reading.definition, desk.clock())
    return {
        "taskDefinition": shapes.definition(registered, desk.definition_arn(registered)),
        "tags": _definition_tags(registered),
        "warnings": [str(each) for each in reading.warnings],
    }


async def describe_task_definition(desk: Desk, body: Body) -> Body:
    """The named revision, or the newest of a family."""
    asked = read(requests.DescribeTaskDefinition, body)
    registered = _find_definition(desk, asked.task_definition)
    return {
        "taskDefinition": shapes.definition(registered, desk.definition_arn(registered)),
        "tags": _definition_tags(registered) if "TAGS" in asked.include else [],
    }


async def list_task_definitions(desk: Desk, body: Body) -> Body:
    """ARNs of all active definitions, by family and revision."""
    asked = read(requests.ListTaskDefinitions, body)
    found = [
        desk.definition_arn(each)
        for family, revisions in sorted(desk.store.definitions.items())
        if asked.family_prefix in (None, family)
        for each in sorted(revisions.values(), key=lambda each: each.revision)
        if asked.status == "ACTIVE"
    ]
    if asked.sort == "DESC":
        found.reverse()
    return _page("taskDefinitionArns", found, asked)


async def run_task(desk: Desk, body: Body) -> Body:
    """Accepts ``count`` tasks; what can't run here is in ``failures``, as ECS answers."""
    asked = _in_cluster(desk, requests.RunTask, body)
    made = [each for each in desk.feed if _repeats(each, asked.client_token)]
    if made:
        return {"tasks": [shapes.task(each, tags=True) for each in made], "failures": []}
    registered = _find_definition(desk, asked.task_definition)
    try:
        definition = apply_overrides(registered.definition, asked.overrides)
    except DefinitionError as error:
        raise InvalidParameter(str(error)) from error
    tasks: list[Body] = []
    failures: list[Body] = []
    for _ in range(asked.count):
        short = _lacking(desk, definition)
        if short:
            arn = shapes.container_instance_arn(desk.cluster_arn)
            failures.append({"arn": arn, "reason": f"RESOURCE:{short}"})
            continue
        task = _new_task(desk, asked, registered, definition)
        await desk.fleet.accept(task)
        tasks.append(shapes.task(desk.feed.pictures[task.id], tags=True))
    return {"tasks": tasks, "failures": failures}


async def stop_task(desk: Desk, body: Body) -> Body:
    """Asks for a graceful stop; asking again changes nothing, except that it may add force."""
    asked = _in_cluster(desk, requests.StopTask, body)
    task_id = find_task(desk, asked.task).intent.task.id
    await desk.fleet.stop(task_id, StopRequest(desk.clock(), asked.reason, asked.force))
    return {"task": shapes.task(desk.feed.pictures[task_id], tags=True)}


async def describe_tasks(desk: Desk, body: Body) -> Body:
    """The named tasks; unknown ones are in ``failures`` with the reason MISSING."""
    asked = _in_cluster(desk, requests.DescribeTasks, body)
    tasks, failures = [], []
    for name in asked.tasks:
        picture = desk.feed.pictures.get(TaskId(_task_id(name)))
        if picture is None:
            failures.append(shapes.missing(names.task_arn(desk.cluster_arn, TaskId(_task_id(name)))))
        else:
            tasks.append(shapes.task(picture, tags="TAGS" in asked.include))
    return {"tasks": tasks, "failures": failures}


async def list_tasks(desk: Desk, body: Body) -> Body:
    """ARNs of the tasks that match every filter given."""
    asked = _in_cluster(desk, requests.ListTasks, body)
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


def _in_cluster(desk: Desk, model: type[R], body: Body) -> R:
    asked = read(model, body)
    if asked.cluster not in (None, "", desk.settings.cluster, desk.cluster_arn):
        raise ClusterNotFound("Cluster not found.")
    return asked


def find_task(desk: Desk, name: str) -> Picture:
    """The task of this id or ARN. Raises InvalidParameter, in ECS's words, if there is none."""
    picture = desk.feed.pictures.get(TaskId(_task_id(name)))
    if picture is None:
        raise InvalidParameter("The referenced task was not found.")
    return picture


def _task_id(name: str) -> str:
    return name.rpartition("/")[2]


def _find_definition(desk: Desk, name: str) -> Registered:
    family, _, revision = name.rpartition("/")[2].partition(":")
    revisions = desk.store.definitions.get(family, {})
    number = int(revision) if revision.isdigit() else max(revisions, default=0)
    if number not in revisions or (revision and not revision.isdigit()):
        raise ApiError("Unable to describe task definition.")
    return revisions[number]


def _new_task(
    desk: Desk, asked: requests.RunTask, registered: Registered, definition: TaskDefinition
) -> Task:
    task_id = TaskId(uuid.uuid4().hex)
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
        tags=tuple(asked.tags),
        client_token=asked.client_token,
    )


def _repeats(picture: Picture, client_token: str) -> bool:
    return client_token != "" and picture.intent.task.client_token == client_token


def _lacking(desk: Desk, definition: TaskDefinition) -> str:
    """The resource that this host has too little of for the task, in ECS's words, or nothing."""
    containers = definition.container_definitions
    memory = definition.memory or sum(each.memory_reservation or each.memory or 0 for each in containers)
    cpu = definition.cpu or sum(each.cpu for each in containers)
    if memory > desk.capacity.memory_mib:
        return "MEMORY"
    if cpu > desk.capacity.cpu_units:
        return "CPU"
    wanted = set(_static_ports(definition))
    taken = {
        port
        for each in desk.feed
        if not each.progress.closed
        for port in _static_ports(each.intent.task.definition)
    }
    return "PORTS" if wanted & taken else ""


def _static_ports(definition: TaskDefinition) -> Iterator[tuple[str, int]]:
    if definition.network_mode == "bridge":
        for container in definition.container_definitions:
            for port in container.port_mappings:
                if port.host_port:
                    yield port.protocol, port.host_port


def _matches(picture: Picture, asked: requests.ListTasks) -> bool:
    task = picture.intent.task
    stopped = status.desired(picture.intent, picture.progress) == "STOPPED"
    return (
        (asked.desired_status == "STOPPED") == stopped
        and asked.family in (None, task.definition.family)
        and asked.started_by in (None, task.started_by)
        and asked.service_name in (None, task.group.removeprefix("service:"))
    )


def _page(key: str, found: Sequence[str], asked: requests.Page) -> Body:
    begin = int(asked.next_token or 0)
    end = begin + asked.max_results
    more = {"nextToken": str(end)} if end < len(found) else {}
    return {key: list(found[begin:end]), **more}


def _definition_tags(registered: Registered) -> list[Body]:
    return [{"key": each.key, "value": each.value} for each in registered.definition.tags]
