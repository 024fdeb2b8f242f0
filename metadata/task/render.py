"""Facts to the container and task objects of the metadata versions; version 2 shows what 3 shows.

Pure: the same facts give the same object, keys in the same order. Whether a key is present is part
of the contract with clients (ECS task metadata endpoint); a None member is a key left out.
"""

from metadata.encoding import Json, optional_time, present, time_text
from metadata.source import ContainerFacts, InstanceFacts, TaskFacts
from metadata.task import shapes
from metadata.task.clock import ClockFacts


class NotYetKnown(Exception):
    """A fact without which the object can't be shown isn't known; ask again later."""


def container_v3(container: ContainerFacts) -> dict[str, Json]:
    """The container object of version 3. Raises NotYetKnown before its network is known."""
    _require_network(container)
    networks = [shapes.network_v3(network) for network in container.networks or ()]
    return present(
        {
            **_identity(container),
            "Ports": [shapes.port_v3(port) for port in container.ports] or None,
            **_life(container),
            "Networks": networks or None,
            **_health_and_volumes(container),
        }
    )


def container_v4(container: ContainerFacts) -> dict[str, Json]:
    """The container object of version 4. Raises NotYetKnown before its network is known."""
    _require_network(container)
    return _listed_v4(container)


def task_v3(task: TaskFacts) -> dict[str, Json]:
    """The task object of version 3, with the containers that exist.

    Raises NotYetKnown while the network of one of them isn't known.
    """
    containers = [container_v3(each) for each in task.containers if each.docker_id]
    return present(
        {
            **_task_identity(task),
            "Containers": containers or None,
            **_task_life(task),
        }
    )


def task_v4(task: TaskFacts, clock: ClockFacts | None = None) -> dict[str, Json]:
    """The task object of version 4, also with containers that are only pulled so far.

    `clock` is that of the host, None when it isn't known.
    """
    listed = [each for each in task.containers if each.docker_id or each.known_status == "PULLED"]
    return present(
        {
            **_task_identity(task),
            **_task_life(task),
            "LaunchType": task.launch_type or None,
            "Containers": [_listed_v4(each) for each in listed] or None,
            "VPCID": task.vpc_id or None,
            "ServiceName": task.service_name or None,
            "Group": task.group or None,
            "ClockDrift": _clock(clock),
            "FaultInjectionEnabled": task.fault_injection,
            "AvailabilityZoneID": task.availability_zone_id or None,
        }
    )


def tagged(shown: dict[str, Json], task: TaskFacts, instance: InstanceFacts) -> dict[str, Json]:
    """A task object with the tags of the task and of this host, as far as there are any."""
    tags = {
        "ContainerInstanceTags": dict(instance.tags) or None,
        "TaskTags": dict(task.tags) or None,
    }
    return {**shown, **present(tags)}


def _require_network(container: ContainerFacts) -> None:
    if container.networks is None:
        raise NotYetKnown(f"the network of container {container.name} is not known yet")


def _listed_v4(container: ContainerFacts) -> dict[str, Json]:
    """In a task's list a container without a known network is shown without `Networks`."""
    networks = [shapes.network_v4(network) for network in container.networks or ()]
    return present(
        {
            **_identity(container),
            "Ports": [shapes.port_v4(port) for port in container.ports] or None,
            **_life(container),
            **_health_and_volumes(container),
            "LogDriver": container.log_driver or None,
            "LogOptions": dict(container.log_options) or None,
            "ContainerARN": container.arn or None,
            "Networks": networks or None,
            "Snapshotter": container.snapshotter or None,
            "RestartCount": container.restart_count,
        }
    )


def _identity(container: ContainerFacts) -> dict[str, Json]:
    return {
        "DockerId": container.docker_id,
        "Name": container.name,
        "DockerName": container.docker_name,
        "Image": container.image,
        "ImageID": container.image_id,
    }


def _life(container: ContainerFacts) -> dict[str, Json]:
    return {
        "Labels": dict(container.labels) or None,
        "DesiredStatus": container.desired_status,
        "KnownStatus": container.known_status,
        "ExitCode": container.exit_code,
        "Limits": shapes.container_limits(container.limits),
        "CreatedAt": optional_time(container.created_at),
        "StartedAt": optional_time(container.started_at),
        "FinishedAt": optional_time(container.finished_at),
        "Type": container.type,
    }


def _health_and_volumes(container: ContainerFacts) -> dict[str, Json]:
    return {
        "Health": shapes.health(container.health),
        "Volumes": [shapes.volume(each) for each in container.volumes] or None,
    }


def _clock(clock: ClockFacts | None) -> Json:
    if clock is None:
        return None
    return {
        "ClockErrorBound": clock.error_bound_ms,
        "ReferenceTimestamp": time_text(clock.at),
        "ClockSynchronizationStatus": "SYNCHRONIZED" if clock.synchronized else "NOT_SYNCHRONIZED",
    }


def _task_identity(task: TaskFacts) -> dict[str, Json]:
    return {
        "Cluster": task.cluster,
        "TaskARN": task.arn,
        "Family": task.family,
        "Revision": task.revision,
        "DesiredStatus": task.desired_status or None,
        "KnownStatus": task.known_status,
    }


def _task_life(task: TaskFacts) -> dict[str, Json]:
    return {
        "Limits": shapes.task_limits(task.limits),
        "PullStartedAt": optional_time(task.pull_started_at),
        "PullStoppedAt": optional_time(task.pull_stopped_at),
        "ExecutionStoppedAt": optional_time(task.execution_stopped_at),
        "AvailabilityZone": task.availability_zone or None,
    }
