"""Answers of the API: from the feed's pictures to ECS's JSON. Pure.

Times are epoch seconds, as JSON 1.1 has them; a field without a value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.doors.requests import Page
from agent.engine.feed import Picture
from agent.engine.store import Registered
from agent.host.gpus import inventory
from agent.task import names, restart, status
from agent.task.definition import to_api
from agent.task.model import TASK_SANDBOX, ContainerProgress, Intent, Progress, Task
from agent.task.network import Attachment, PortBinding

LAUNCH_TYPE = "EXTERNAL"
"""What ECS calls a host that is none of its own."""

_NO_OVERRIDES: dict[str, Any] = {"containerOverrides": [], "inferenceAcceleratorOverrides": []}
_UNSET: dict[str, Any] = {
    "cpu": 0,
    "portMappings": [],
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
}
"""What ECS shows of a container for which it was not given."""


def task(picture: Picture, *, tags: bool) -> dict[str, Any]:
    """A task as DescribeTasks shows it."""
    intent, progress = picture.intent, picture.progress
    made, definition, stop = intent.task, intent.task.definition, progress.stop
    return _without_none(
        {
            "attachments": [_attachment(made, progress)] if made.awsvpc else [],
            "attributes": [],
            "clusterArn": made.cluster_arn,
            "containers": [
                _container(made, each.name, progress) for each in definition.container_definitions
            ],
            "connectivity": "CONNECTED",
            "connectivityAt": made.accepted_at,
            "containerInstanceArn": names.container_instance_arn(made.cluster_arn),
            "cpu": None if definition.cpu is None else str(definition.cpu),
            "createdAt": made.accepted_at,
            "desiredStatus": status.desired(intent, progress),
            "enableExecuteCommand": False,
            "executionStoppedAt": progress.execution_stopped_at,
            "group": made.group,
            "healthStatus": status.task_health(made, progress).value,
            "lastStatus": status.task_last(intent, progress),
            "launchType": LAUNCH_TYPE,
            "memory": None if definition.memory is None else str(definition.memory),
            "overrides": {**_NO_OVERRIDES, **made.overrides},
            "pullStartedAt": progress.pull_started_at,
            "pullStoppedAt": progress.pull_stopped_at,
            "startedAt": progress.started_at,
            "startedBy": made.started_by or None,
            "stopCode": stop.code.value if stop else None,
            "stoppedAt": progress.stopped_at,
            "stoppedReason": stop.reason if stop else None,
            "stoppingAt": stop.at if stop else None,
            "tags": [dict(each) for each in made.tags] if tags else [],
            "taskArn": made.arn,
            "taskDefinitionArn": made.definition_arn,
            "version": len(progress.timeline),
        }
    )


def definition(registered: Registered, arn: str, deregistered: float | None) -> dict[str, Any]:
    """A task definition as DescribeTaskDefinition shows it; INACTIVE once it is deregistered."""
    shown = to_api(registered.definition)
    shown.pop("tags", None)
    shown["containerDefinitions"] = [{**_UNSET, **each} for each in shown["containerDefinitions"]]
    return {
        "volumes": [],
        "placementConstraints": [],
        "compatibilities": ["EXTERNAL", "EC2"],
        **shown,
        "taskDefinitionArn": arn,
        "revision": registered.revision,
        "status": "ACTIVE" if deregistered is None else "INACTIVE",
        "registeredAt": registered.registered_at,
        **({} if deregistered is None else {"deregisteredAt": deregistered}),
    }


def cluster(arn: str, running: int, pending: int) -> dict[str, Any]:
    """The cluster as DescribeClusters shows it."""
    return {
        "clusterArn": arn,
        "clusterName": arn.rpartition("/")[2],
        "status": "ACTIVE",
        "registeredContainerInstancesCount": 1,
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "activeServicesCount": 0,
        "statistics": [],
        "tags": [],
        "settings": [],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    }


def page(key: str, found: Sequence[str], asked: Page) -> dict[str, Any]:
    """The part that is ``asked`` for of a listing, as field ``key``."""
    begin = int(asked.next_token or 0)
    end = begin + asked.max_results
    more = {"nextToken": str(end)} if end < len(found) else {}
    return {key: list(found[begin:end]), **more}


def missing(arn: str) -> dict[str, str]:
    """What a Describe call says of something that isn't there."""
    return {"arn": arn, "reason": "MISSING"}


def protection(intent: Intent, until: float | None) -> dict[str, Any]:
    """A task's protection as GetTaskProtection shows it."""
    return _without_none(
        {
            "taskArn": intent.task.arn,
            "protectionEnabled": until is not None,
            "expirationDate": until,
        }
    )


def _attachment(made: Task, progress: Progress) -> dict[str, Any]:
    """The network interface of a task in awsvpc mode; a detail without a value is left out."""
    interface = progress.interface
    asked = made.subnets[0] if len(made.subnets) == 1 else ""
    network = progress.networks[TASK_SANDBOX].attachment or Attachment("awsvpc")
    details = {
        "subnetId": interface.subnet if interface else asked,
        "networkInterfaceId": interface.id if interface else "",
        "macAddress": network.mac or (interface.mac if interface else ""),
        "privateDnsName": network.hostname or (interface.hostname if interface else ""),
        "privateIPv4Address": network.ipv4,
        "ipv6Address": network.ipv6,
    }
    return {
        "id": names.attachment_id(made.id),
        "type": "ElasticNetworkInterface",
        "status": status.interface(progress),
        "details": [{"name": name, "value": value} for name, value in details.items() if value],
    }


def _container(made: Task, name: str, progress: Progress) -> dict[str, Any]:
    definition, facts = made.container(name), progress.containers[name]
    created = facts.created_at is not None
    network = progress.networks[made.sandbox(name)].attachment
    reservation = definition.memory_reservation
    return _without_none(
        {
            "containerArn": names.container_arn(made, name),
            "taskArn": made.arn,
            "name": name,
            "image": definition.image,
            "imageDigest": _digest(facts),
            "runtimeId": names.container_id(made.id, name) if created else None,
            "lastStatus": status.container_last(facts),
            "exitCode": facts.exit_code,
            "reason": facts.reason or None,
            "networkBindings": _bindings(made, network),
            "networkInterfaces": _interfaces(made, network),
            "healthStatus": facts.health.status.value,
            "cpu": str(definition.cpu),
            "memory": None if definition.memory is None else str(definition.memory),
            "memoryReservation": None if reservation is None else str(reservation),
            "gpuIds": list(inventory.shown(made.gpus.get(name, ()))) or None,
            "restartCount": restart.count(definition, facts),  # ECS shows it in metadata alone
        }
    )


def _digest(facts: ContainerProgress) -> str | None:
    """As with ECS it is known when the tag is resolved, before the image is here."""
    known = facts.image or facts.pin
    return known.digest if known else None


def _bindings(made: Task, network: Attachment | None) -> list[dict[str, Any]]:
    """An interface of the task's own has no bindings: its ports are the containers'."""
    return [_binding(each) for each in network.ports] if network and not made.awsvpc else []


def _interfaces(made: Task, network: Attachment | None) -> list[dict[str, str]]:
    if network is None or not made.awsvpc:
        return []
    addresses = {"privateIpv4Address": network.ipv4, "ipv6Address": network.ipv6}
    shown = {key: address for key, address in addresses.items() if address}
    return [{"attachmentId": names.attachment_id(made.id), **shown}]


def _binding(port: PortBinding) -> dict[str, Any]:
    if port.count == 1:
        ports: dict[str, Any] = {"containerPort": port.container_port, "hostPort": port.host_port}
    else:
        ports = {
            "containerPortRange": _range(port.container_port, port.count),
            "hostPortRange": _range(port.host_port, port.count),
        }
    return {"bindIP": port.host_ip, "protocol": port.protocol, **ports}


def _range(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}"


def _without_none(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shape.items() if value is not None}
