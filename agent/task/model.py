"""The values that the plan works on: Task, Intent and Progress (what is seen is in ``view``).

All are frozen. ``Task`` is what was accepted and never changes; ``Intent`` adds what people asked
for since; ``Progress`` holds the facts that can't be looked up again. Times are wall-clock seconds
since the epoch, so that they mean the same after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NewType

from agent.task.definition import ContainerDefinition, TaskDefinition

TaskId = NewType("TaskId", str)
"""32 lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class ContainerIdentity:
    """What is drawn at random for a container when its task is accepted.

    ``endpoint_id`` is the secret part of its metadata address; ``arn_id`` ends its ARN.
    """

    name: str
    endpoint_id: str
    arn_id: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it was accepted. ``definition`` has the overrides applied already."""

    id: TaskId
    arn: str
    cluster_arn: str
    definition: TaskDefinition
    definition_arn: str
    revision: int
    containers: tuple[ContainerIdentity, ...]
    accepted_at: float
    group: str
    started_by: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[Mapping[str, str], ...] = ()
    client_token: str = ""

    def identity(self, name: str) -> ContainerIdentity:
        """The identity of container ``name``, which must be one of the task's."""
        return next(each for each in self.containers if each.name == name)

    def container(self, name: str) -> ContainerDefinition:
        """The definition of container ``name``, which must be one of the task's."""
        return next(each for each in self.definition.container_definitions if each.name == name)


class StopCode(StrEnum):
    """The reasons for which ECS says a task stopped (field ``stopCode``)."""

    FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_EXITED = "EssentialContainerExited"
    USER = "UserInitiated"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody asked for the task to stop. ``force`` skips the wait between SIGTERM and SIGKILL."""

    at: float
    reason: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """What people want of a task. Written by the doors only."""

    task: Task
    stop: StopRequest | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the task is going down; set once, the first cause stays."""

    code: StopCode
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Image:
    """An image on this host: ``id`` is its config's digest, ``digest`` its manifest's."""

    name: str
    id: str
    digest: str
    stop_signal: int | None = None


@dataclass(frozen=True, slots=True)
class PortBinding:
    """One published port, or a contiguous range of ``count`` ports beginning with these."""

    protocol: str
    container_port: int
    host_port: int
    host_ip: str = "0.0.0.0"  # noqa: S104 - an address that is shown, nothing listens on it
    count: int = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """What attaching a container to its network gave. Empty strings where there is none."""

    mode: str
    ipv4: str = ""
    prefix: int = 0
    gateway: str = ""
    mac: str = ""
    ports: tuple[PortBinding, ...] = ()


class Health(StrEnum):
    """Health of a container as ECS names it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """What the health probes have said so far. ``streak`` counts failures in a row."""

    status: Health = Health.UNKNOWN
    since: float | None = None
    streak: int = 0
    probed_at: float | None = None
    exit_code: int | None = None
    output: str = ""


@dataclass(frozen=True, slots=True)
class ContainerProgress:
    """The facts about one container. ``ended`` is ECS's STOPPED: nothing of it will run again."""

    image: Image | None = None
    network: Attachment | None = None
    detached: bool = False
    created_at: float | None = None
    started_at: float | None = None
    ended: bool = False
    finished_at: float | None = None
    exit_code: int | None = None
    reason: str = ""
    stop_sent_at: float | None = None
    kill_sent_at: float | None = None
    health: HealthRecord = HealthRecord()


@dataclass(frozen=True, slots=True)
class Held:
    """An action that failed and waits for its next try."""

    until: float
    tries: int
    why: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the task's timeline. ``took_s`` is how long the action ran, if it was one."""

    at: float
    what: str
    container: str = ""
    took_s: float | None = None
    detail: str = ""


TIMELINE_LIMIT = 400
"""Steps that are kept for a task; a definition of ten containers needs about a hundred."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The facts about one task that can't be looked up again. Written by its supervisor only."""

    containers: Mapping[str, ContainerProgress]
    stop: Stop | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    closed_at: float | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    timeline: tuple[Step, ...] = ()

    def having(self, name: str, **facts: Any) -> Progress:
        """The same with ``facts`` (fields of ContainerProgress) set for container ``name``."""
        changed = replace(self.containers[name], **facts)
        return replace(self, containers={**self.containers, name: changed})

    def noting(self, step: Step) -> Progress:
        """The same with ``step`` at the end of the timeline, unless that is full."""
        if len(self.timeline) >= TIMELINE_LIMIT:
            return self
        return replace(self, timeline=(*self.timeline, step))

    @property
    def stopped(self) -> bool:
        """Whether every container has ended: the task is STOPPED as ECS means it."""
        return all(each.ended for each in self.containers.values())

    @property
    def closed(self) -> bool:
        """Whether nothing of the task is left on the host."""
        return self.closed_at is not None


def first_progress(task: Task) -> Progress:
    """The progress of a task that was accepted just now."""
    return Progress(
        containers={
            each.name: ContainerProgress() for each in task.definition.container_definitions
        },
        timeline=(Step(at=task.accepted_at, what="accepted"),),
    )
