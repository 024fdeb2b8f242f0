"""The facts the metadata endpoint works from, and the few questions it asks.

The agent answers from a picture it keeps in memory; nothing here does I/O. Facts are values: when
anything about a task changes the agent hands out a new `TaskFacts`, and until then the same
object, because answers are encoded once per object.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NewType, Protocol

# Whom a listening socket belongs to. Opaque here: a task, or all the tasks that share the host's
# network and so the one socket on the host's loopback.
Owner = NewType("Owner", str)

# A point in time: nanoseconds since the epoch, UTC.
Instant = NewType("Instant", int)


@dataclass(frozen=True, slots=True)
class LimitsFacts:
    """CPU in ECS units (1024 a vCPU) and memory in MiB; 0 is unset."""

    cpu_units: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class PortFacts:
    """One port as it is really bound. With an interface of its own, host port = container port."""

    container_port: int
    protocol: str = "tcp"
    host_port: int = 0
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """What only a network interface of the task's own (awsvpc) has. Gateways carry a prefix."""

    mac: str = ""
    ipv4_subnet: str = ""
    ipv6_subnet: str = ""
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    private_dns_name: str = ""
    ipv4_gateway: str = ""
    ipv6_gateway: str = ""


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """One network of a container. `interface` is given for awsvpc and for nothing else."""

    mode: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    interface: InterfaceFacts | None = None


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """The outcome of a task-definition health check; empty until the first result."""

    status: str = ""
    since: Instant | None = None
    exit_code: int = 0
    output: str = ""


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """One mount, `name` being the volume's name in the runtime."""

    destination: str
    source: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class CgroupFacts:
    """Where a running container's usage is read.

    `path` is relative to the cgroup mount (each controller's, with cgroup v1). `network_pid` is a
    process of the container in the task's network namespace, None when it uses the host's.
    """

    path: str
    network_pid: int | None = None


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role whose credentials are the task's to ask for, under the unguessable `id`.

    The id is empty if this host has no credentials for the role. `token` must be shown as well if
    it is not empty: in host mode, where anybody may come.
    """

    id: str = field(repr=False)
    arn: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """One container. Statuses are the agent's internal words (`CREATED`, `RUNNING`, ...).

    `docker_id` is empty until the container exists; `endpoint_id` is empty for containers which
    nobody may ask about (pause). `networks` is None while the network isn't known, `health` None
    without a health check, `restart_count` None without a restart policy, `cgroup` None when
    there is nothing to measure: not running, or metrics turned off. `associations` are contents by
    type and name. `mapped_ports` are those that the definition asks for, whatever was bound.
    """

    name: str
    image: str
    desired_status: str
    known_status: str
    endpoint_id: str = ""
    docker_id: str = ""
    docker_name: str = ""
    image_id: str = ""
    type: str = "NORMAL"
    arn: str = ""
    snapshotter: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: LimitsFacts = LimitsFacts()
    ports: tuple[PortFacts, ...] = ()
    mapped_ports: tuple[PortFacts, ...] = ()
    networks: tuple[NetworkFacts, ...] | None = None
    volumes: tuple[VolumeFacts, ...] = ()
    log_driver: str = ""
    log_options: Mapping[str, str] = field(default_factory=dict)
    health: HealthFacts | None = None
    exit_code: int | None = None
    restart_count: int | None = None
    created_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    cgroup: CgroupFacts | None = None
    associations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task. Empty strings and None are facts that don't apply; `limits` None is no task size.

    `containers` are those the agent has begun to work on, pause containers included. `role` is
    that of the task, None without one or when it has stopped; `execution_role` the agent's own.
    """

    owner: Owner
    arn: str
    cluster: str
    family: str
    revision: str
    known_status: str
    desired_status: str = ""
    containers: tuple[ContainerFacts, ...] = ()
    limits: LimitsFacts | None = None
    pull_started_at: Instant | None = None
    pull_stopped_at: Instant | None = None
    execution_stopped_at: Instant | None = None
    availability_zone: str = ""
    availability_zone_id: str = ""
    launch_type: str = ""
    vpc_id: str = ""
    service_name: str = ""
    group: str = ""
    fault_injection: bool = False
    network_mode: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    role: RoleFacts | None = None
    execution_role: RoleFacts | None = None

    def has(self, endpoint_id: str) -> bool:
        """Whether one of its containers, existing or not, has this endpoint id."""
        return endpoint_id != "" and endpoint_id in [each.endpoint_id for each in self.containers]

    def container(self, owner: Owner, endpoint_id: str) -> ContainerFacts | None:
        """The owner's container with this endpoint id, from the moment it exists in the runtime.

        To any other owner the task has none: isolation doesn't hang on the source's look-up alone.
        """
        if owner != self.owner or not endpoint_id:
            return None
        for container in self.containers:
            if container.docker_id and container.endpoint_id == endpoint_id:
                return container
        return None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """This host as a container instance of ECS."""

    cluster: str = ""
    arn: str = ""
    version: str = ""
    zone: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """The agent's picture of its tasks. Called for each request: it must answer from memory."""

    @property
    def instance(self) -> InstanceFacts:
        """What doesn't change while the agent runs."""

    def tasks(self) -> Iterable[TaskFacts]:
        """All tasks until clean-up, the oldest first."""

    def owned(self, owner: Owner) -> Iterable[TaskFacts]:
        """The owner's tasks until clean-up: one, or all in host mode."""

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        """The task among the owner's that has a container with this endpoint id, until clean-up.

        An id of another owner's task is an unknown id.
        """
