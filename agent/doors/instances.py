"""The calls of ECS's API about the cluster and its container instances.

There is one of each: the cluster that the settings name, and this host.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import Any

from agent import VERSION
from agent.doors import requests, shapes
from agent.doors.desk import Body, Desk, in_cluster
from agent.doors.errors import InvalidParameter
from agent.task import names, status
from agent.task.capacity import Item, Port, Resource

_NO_QUERY = "filter: the cluster query language is not spoken here; leave it out"


async def describe_clusters(desk: Desk, body: Body) -> Body:
    """The one cluster; any other that is named is MISSING."""
    asked = requests.read(requests.DescribeClusters, body)
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


async def list_container_instances(desk: Desk, body: Body) -> Body:
    """The ARN of this host, if it is in the state asked for."""
    asked = in_cluster(desk, requests.ListContainerInstances, body)
    if asked.filter is not None:
        raise InvalidParameter(_NO_QUERY)
    shown = asked.status in (None, _state(desk))
    return {"containerInstanceArns": [_arn(desk)] if shown else []}


async def describe_container_instances(desk: Desk, body: Body) -> Body:
    """This host, with what it has and what is left of that; any other that is named is MISSING."""
    asked = in_cluster(desk, requests.DescribeContainerInstances, body)
    return _named(desk, asked.container_instances, tags="TAGS" in asked.include)


async def update_container_instances_state(desk: Desk, body: Body) -> Body:
    """DRAINING: the host takes no new tasks; those there are run on. ACTIVE: it takes them."""
    asked = in_cluster(desk, requests.UpdateContainerInstancesState, body)
    if any(_is_this(desk, each) for each in asked.container_instances):
        async with desk.admitting:  # no task is let in once this is answered
            notes = desk.store.notes
            await (notes.drain() if asked.status == "DRAINING" else notes.activate())
    return _named(desk, asked.container_instances, tags=False)


CALLS = {
    "DescribeClusters": describe_clusters,
    "ListContainerInstances": list_container_instances,
    "DescribeContainerInstances": describe_container_instances,
    "UpdateContainerInstancesState": update_container_instances_state,
}
"""These calls, by name."""


def _named(desk: Desk, wanted: Iterable[str], *, tags: bool) -> Body:
    named = list(dict.fromkeys(wanted))
    ours = [each for each in named if _is_this(desk, each)]
    head = _arn(desk).rpartition("/")[0]
    return {
        "containerInstances": [_instance(desk, tags=tags)] if ours else [],
        "failures": [
            shapes.missing(f"{head}/{each.rpartition('/')[2]}")
            for each in named
            if each not in ours
        ],
    }


def _instance(desk: Desk, *, tags: bool) -> Body:
    queue, settings = desk.fleet.queue, desk.settings
    last = [status.task_last(each.intent, each.progress) for each in desk.feed]
    own = {"ecs.os-type": "linux", "ecs.cpu-architecture": platform.machine()}
    attributes = {**own, **settings.instance_attributes}
    labels = settings.instance_tags if tags else {}
    return {
        "containerInstanceArn": _arn(desk),
        "status": _state(desk),
        "agentConnected": True,
        "version": desk.feed.version,
        "versionInfo": {"agentVersion": VERSION},
        "runningTasksCount": last.count("RUNNING"),
        "pendingTasksCount": last.count("PENDING"),
        "registeredResources": _resources(desk, {}),
        "remainingResources": _resources(desk, queue.held()),
        "attributes": [{"name": name, "value": value} for name, value in attributes.items()],
        "attachments": [],
        "tags": [{"key": key, "value": value} for key, value in labels.items()],
    }


def _resources(desk: Desk, held: dict[Item, int]) -> list[Body]:
    """What is left when this much is held. Of ports, as with ECS, those that are not to be had."""
    capacity = desk.fleet.queue.capacity
    taken = {*capacity.reserved, *(each for each in held if isinstance(each, tuple))}
    return [
        *(
            _number(each, (capacity.of(each) or 0) - held.get(each, 0))
            for each in (Resource.CPU, Resource.MEMORY)
        ),
        _ports("PORTS", "tcp", taken),
        _ports("PORTS_UDP", "udp", taken),
    ]


def _number(name: str, value: int) -> Body:
    kinds: dict[str, Any] = {"doubleValue": 0.0, "longValue": 0, "integerValue": max(value, 0)}
    return {"name": name, "type": "INTEGER", **kinds}


def _ports(name: str, protocol: str, taken: Iterable[Port]) -> Body:
    numbers = sorted(port for each, port in taken if each == protocol)
    return {"name": name, "type": "STRINGSET", "stringSetValue": list(map(str, numbers))}


def _is_this(desk: Desk, name: str) -> bool:
    return name in (_arn(desk), _arn(desk).rpartition("/")[2])


def _arn(desk: Desk) -> str:
    return names.container_instance_arn(desk.cluster_arn)


def _state(desk: Desk) -> str:
    return "DRAINING" if desk.store.notes.draining else "ACTIVE"
