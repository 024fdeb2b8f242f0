"""The agent's answers to the metadata endpoint: the feed's pictures as the facts it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

from agent.engine.feed import Feed, Picture
from agent.host.network.metadata_sockets import HOST_OWNER
from agent.host.volumes import places
from agent.task import names, restart, status
from agent.task.definition import ContainerDefinition, MountPoint, mount_points, port_range
from agent.task.model import ContainerProgress, Progress, Task, TaskId
from agent.task.names import Names
from agent.task.network import Attachment
from agent.task.ports import own_ports
from agent.task.records import Health
from agent.task.view import ContainerSeen, Seen
from metadata.source import (
    CgroupFacts,
    ContainerFacts,
    HealthFacts,
    InstanceFacts,
    Instant,
    InterfaceFacts,
    LimitsFacts,
    NetworkFacts,
    Owner,
    PortFacts,
    RoleFacts,
    TaskFacts,
    VolumeFacts,
)

_LEAST_CPU_UNITS = 2


@dataclass(slots=True)
class FeedSource:
    """``metadata.source.Source``. A task's facts stay the same object until its picture changes.

    ``measured`` is whether containers have statistics.
    """

    feed: Feed
    of: Names
    instance: InstanceFacts
    measured: bool = True
    _kept: dict[TaskId, tuple[Picture, TaskFacts]] = field(default_factory=dict)

    def tasks(self) -> Iterator[TaskFacts]:
        """All tasks that are not forgotten yet, the oldest first."""
        return map(self._facts, self.feed)

    def owned(self, owner: Owner) -> Iterable[TaskFacts]:
        """The owner's; the tasks that use the host's network share an owner."""
        if owner == HOST_OWNER:
            return map(self._facts, filter(_shares_host, self.feed))
        found = self.feed.pictures.get(TaskId(owner))
        return () if found is None else (self._facts(found),)

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        """The owner's task with a container of this endpoint id."""
        for each in self.owned(owner):
            if each.has(endpoint_id):
                return each
        return None

    def _facts(self, picture: Picture) -> TaskFacts:
        task_id = picture.intent.task.id
        kept = self._kept.get(task_id)
        if kept is not None and kept[0] is picture:
            return kept[1]
        facts = self._task(HOST_OWNER if _shares_host(picture) else Owner(task_id), picture)
        self._kept[task_id] = (picture, facts)
        if len(self._kept) > len(self.feed.pictures):
            shown = self.feed.pictures
            self._kept = {key: each for key, each in self._kept.items() if key in shown}
        return facts

    def _task(self, owner: Owner, picture: Picture) -> TaskFacts:
        task, progress = picture.intent.task, picture.progress
        definition = task.definition
        limits = None
        if definition.cpu or definition.memory:
            limits = LimitsFacts(definition.cpu or 0, definition.memory or 0)
        return TaskFacts(
            owner=owner,
            arn=task.arn,
            cluster=self.instance.cluster,
            family=definition.family,
            revision=str(task.revision),
            known_status=status.task_known(progress),
            desired_status=status.desired(picture.intent, progress),
            containers=tuple(
                self._container(picture, name, facts)
                for name, facts in progress.containers.items()
                if facts.image is not None or facts.ended
            ),
            limits=limits,
            pull_started_at=_instant(progress.pull_started_at),
            pull_stopped_at=_instant(progress.pull_stopped_at),
            execution_stopped_at=_instant(progress.execution_stopped_at),
            launch_type="EXTERNAL",
            group=task.group,
            service_name=task.group.removeprefix("service:") if _of_service(task) else "",
            availability_zone=self.instance.zone,
            fault_injection=bool(definition.enable_fault_injection),
            network_mode=definition.network_mode,
            tags={each["key"]: each["value"] for each in task.tags},
            role=_role(task, progress),
            execution_role=_execution_role(task, progress),
        )

    def _container(self, picture: Picture, name: str, facts: ContainerProgress) -> ContainerFacts:
        task, progress = picture.intent.task, picture.progress
        definition, log = task.container(name), task.container(name).log_configuration
        network = progress.networks[task.sandbox(name)].attachment
        prepared = facts.image is not None and network is not None
        made = facts.created_at is not None or prepared
        return ContainerFacts(
            name=name,
            image=definition.image,
            desired_status=status.desired(picture.intent, progress),
            known_status=status.container_known(facts),
            endpoint_id=task.identity(name).endpoint_id,
            docker_id=names.container_id(task.id, name) if made else "",
            docker_name=names.docker_name(task, name),
            image_id=facts.image.id if facts.image else "",
            arn=names.container_arn(task, name),
            labels=_labels(task, name) if facts.created_at is not None else {},
            limits=LimitsFacts(max(definition.cpu, _LEAST_CPU_UNITS), definition.memory or 0),
            ports=_ports(definition, network),
            mapped_ports=_mapped_ports(definition),
            networks=None if network is None else (_network(network, ended=facts.ended),),
            volumes=tuple(self._volume(task, each) for each in mount_points(task.definition, name)),
            log_driver=log.log_driver if log else "",
            log_options=dict(log.options) if log else {},
            health=_health(facts) if definition.health_check else None,
            exit_code=facts.exit_code,
            restart_count=restart.count(definition, facts),
            created_at=_instant(facts.created_at),
            started_at=_instant(facts.started_at),
            finished_at=_instant(facts.finished_at) if facts.started_at is not None else None,
            cgroup=self._cgroup(picture, name),
        )

    def _volume(self, task: Task, point: MountPoint) -> VolumeFacts:
        """The host's own directories have no name in the runtime."""
        of = places.volume(task, point.source_volume)
        unnamed = of.host is not None and of.host.source_path
        source = places.source(task, of.name, self.of)
        return VolumeFacts(point.container_path, str(source), "" if unnamed else of.name)

    def _cgroup(self, picture: Picture, name: str) -> CgroupFacts | None:
        """Where a running container is measured. Before the first look it runs if it did so last.

        Its network is not measured until its process is known.
        """
        if not self.measured:
            return None
        task, facts = picture.intent.task, picture.progress.containers[name]
        path = self.of.container_cgroup(task, name)
        if picture.view is None:
            runs = status.container_known(facts) == "RUNNING"
            return CgroupFacts(path=path) if runs else None
        seen = picture.view.containers[name]
        if not isinstance(seen, Seen) or not isinstance(seen.state, ContainerSeen):
            return None
        pid = None if _shares_host(picture) else seen.state.pid
        return CgroupFacts(path=path, network_pid=pid) if seen.state.pid else None


def _labels(task: Task, name: str) -> dict[str, str]:
    """ECS shows them from the moment at which the runtime has them."""
    return {**task.container(name).docker_labels, **names.labels(task, name)}


def _of_service(task: Task) -> bool:
    return task.group.startswith("service:")


def _shares_host(picture: Picture) -> bool:
    return picture.intent.task.definition.network_mode == "host"


def _role(task: Task, progress: Progress) -> RoleFacts | None:
    """ECS withdraws the task's role when the task has stopped."""
    arn = task.definition.task_role_arn
    if not arn or progress.stopped:
        return None
    return RoleFacts(task.credentials_id, arn, task.credentials_token)


def _execution_role(task: Task, progress: Progress) -> RoleFacts | None:
    """The agent's own role for the task is there until nothing of the task is left."""
    arn = task.definition.execution_role_arn
    if not arn or progress.closed:
        return None
    return RoleFacts(task.execution_credentials_id, arn, task.credentials_token)


def _ports(container: ContainerDefinition, network: Attachment | None) -> tuple[PortFacts, ...]:
    """Each port on its own. With an interface of the task's own none is bound to the host's."""
    if network is None:
        return ()
    awsvpc = network.mode == "awsvpc"
    return tuple(
        PortFacts(
            container_port=each.container_port + number,
            protocol=each.protocol,
            host_port=each.host_port + number,
            host_ip="" if awsvpc else each.host_ip,
        )
        for each in (own_ports(container) if awsvpc else network.ports)
        for number in range(each.count)
    )


def _mapped_ports(container: ContainerDefinition) -> tuple[PortFacts, ...]:
    """Each port that the definition names, on its own; 0 is a host port still to be chosen."""
    spans = [(each, port_range(each)) for each in container.port_mappings]
    return tuple(
        PortFacts(number, mapping.protocol, mapping.host_port or 0)
        for mapping, span in spans
        if span is not None
        for number in range(span[0], span[1] + 1)
    )


def _network(network: Attachment, *, ended: bool) -> NetworkFacts:
    """The task keeps its interface to the end; any other container that ended has no address."""
    if network.mode != "awsvpc":
        ipv4, ipv6 = ("", "") if ended else (network.ipv4, network.ipv6)
        return NetworkFacts(mode=network.mode, ipv4=(ipv4,), ipv6=(ipv6,) if ipv6 else ())
    every = [each for each in (network.ipv4, network.ipv6, *network.secondary) if each]
    return NetworkFacts(
        mode=network.mode,
        ipv4=tuple(each for each in every if ip_address(each).version == 4),
        ipv6=tuple(each for each in every if ip_address(each).version == 6),
        interface=InterfaceFacts(
            mac=network.mac,
            ipv4_subnet=_subnet(network.ipv4, network.prefix),
            ipv6_subnet=_subnet(network.ipv6, network.prefix6),
            dns_servers=network.dns_servers,
            dns_search=network.dns_search,
            private_dns_name=network.hostname,
            ipv4_gateway=_with_prefix(network.gateway, network.prefix),
            ipv6_gateway="" if network.ipv4 else _with_prefix(network.gateway6, network.prefix6),
        ),
    )


def _subnet(address: str, prefix: int) -> str:
    return str(ip_interface(f"{address}/{prefix}").network) if address else ""


def _with_prefix(address: str, prefix: int) -> str:
    return f"{address}/{prefix}" if address else ""


def _health(facts: ContainerProgress) -> HealthFacts:
    record = facts.health
    if record.status is Health.UNKNOWN:
        return HealthFacts()
    return HealthFacts(
        status=record.status.value,
        since=_instant(record.since),
        exit_code=record.exit_code or 0,
        output=record.output,
    )


def _instant(seconds: float | None) -> Instant | None:
    return None if seconds is None else Instant(int(seconds * 1e9))
