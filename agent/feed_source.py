"""The agent's answers to the metadata endpoint: the feed's pictures as the facts it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.engine.feed import Feed, Picture
from agent.host.sandbox import HOST_OWNER
from agent.task import names, status
from agent.task.model import Attachment, ContainerProgress, Health, TaskId
from agent.task.names import Names
from agent.task.view import ContainerSeen, Seen
from metadata.source import (
    CgroupFacts,
    ContainerFacts,
    HealthFacts,
    Instant,
    LimitsFacts,
    NetworkFacts,
    Owner,
    PortFacts,
    TaskFacts,
    VolumeFacts,
)

_LEAST_CPU_UNITS = 2


@dataclass(slots=True)
class FeedSource:
    """``metadata.source.Source``. A task's facts stay the same object until its picture changes."""

    feed: Feed
    of: Names
    cluster: str
    _kept: dict[TaskId, tuple[Picture, TaskFacts]] = field(default_factory=dict)

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        """The owner's task with a container of this endpoint id.

        The tasks that use the host's network share an owner.
        """
        if owner == HOST_OWNER:
            shared = (each for each in self.feed if _shares_host(each))
            found = next((each for each in shared if _has(each, endpoint_id)), None)
        else:
            found = self.feed.pictures.get(TaskId(owner))
        if found is None or not _has(found, endpoint_id):
            return None
        return self._facts(owner, found)

    def _facts(self, owner: Owner, picture: Picture) -> TaskFacts:
        task_id = picture.intent.task.id
        kept = self._kept.get(task_id)
        if kept is not None and kept[0] is picture:
            return kept[1]
        facts = self._task(owner, picture)
        self._kept = {key: each for key, each in self._kept.items() if key in self.feed.pictures}
        self._kept[task_id] = (picture, facts)
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
            cluster=self.cluster,
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
        )

    def _container(self, picture: Picture, name: str, facts: ContainerProgress) -> ContainerFacts:
        task = picture.intent.task
        definition, log = task.container(name), task.container(name).log_configuration
        made = facts.created_at is not None or facts.network is not None
        return ContainerFacts(
            name=name,
            image=definition.image,
            desired_status=status.desired(picture.intent, picture.progress),
            known_status=status.container_known(facts),
            endpoint_id=task.identity(name).endpoint_id,
            docker_id=names.container_id(task.id, name) if made else "",
            docker_name=names.docker_name(task, name),
            image_id=facts.image.id if facts.image else "",
            arn=names.container_arn(task, name),
            labels={**definition.docker_labels, **names.labels(task, name)},
            limits=LimitsFacts(max(definition.cpu, _LEAST_CPU_UNITS), definition.memory or 0),
            ports=_ports(facts.network),
            networks=_networks(facts),
            volumes=tuple(
                VolumeFacts(destination=each.container_path, name=each.source_volume)
                for each in definition.mount_points
            ),
            log_driver=log.log_driver if log else "json-file",
            log_options=dict(log.options) if log else {},
            health=_health(facts) if definition.health_check else None,
            exit_code=facts.exit_code,
            created_at=_instant(facts.created_at),
            started_at=_instant(facts.started_at),
            finished_at=_instant(facts.finished_at),
            cgroup=self._cgroup(picture, name),
        )

    def _cgroup(self, picture: Picture, name: str) -> CgroupFacts | None:
        seen = picture.view.containers[name] if picture.view else None
        if not isinstance(seen, Seen) or not isinstance(seen.state, ContainerSeen):
            return None
        task = picture.intent.task
        pid = None if _shares_host(picture) else seen.state.pid
        path = self.of.container_cgroup(task.id, name)
        return CgroupFacts(path=path, network_pid=pid) if seen.state.pid else None


def _shares_host(picture: Picture) -> bool:
    return picture.intent.task.definition.network_mode == "host"


def _has(picture: Picture, endpoint_id: str) -> bool:
    return any(each.endpoint_id == endpoint_id for each in picture.intent.task.containers)


def _ports(network: Attachment | None) -> tuple[PortFacts, ...]:
    return tuple(
        PortFacts(each.container_port, each.protocol, each.host_port, each.host_ip)
        for each in (network.ports if network else ())
    )


def _networks(facts: ContainerProgress) -> tuple[NetworkFacts, ...] | None:
    if facts.network is None:
        return None
    address = "" if facts.ended else facts.network.ipv4
    return (NetworkFacts(mode=facts.network.mode, ipv4=(address,)),)


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
