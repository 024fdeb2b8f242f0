"""The values that the plan works on: Task, Intent and Progress.

What is seen is in ``view``, what a task has of the network in ``network``. All are
frozen. ``Task`` is what was accepted and never changes; ``Intent`` adds what people asked for
since; ``Progress`` holds the facts that can't be looked up again. Times are wall-clock seconds
since the epoch, so that they mean the same after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NewType

from agent.task.definition import ContainerDefinition, TaskDefinition
from agent.task.network import Attachment, NetworkInterface
from agent.task.records import TIMELINE_LIMIT, HealthRecord, Held, Pin, Restart, Step

TaskId = NewType("TaskId", str)
"""32 lower-case hexadecimal digits."""

TASK_SANDBOX = ""
"""The sandbox of a whole task, where one is shared; no container has this name."""

GROUPS_TAG = "hostler:security-groups"
"""Tag of a task that names its security groups, separated by commas or spaces."""


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
    """A task as it was accepted. ``definition`` has the overrides applied already.

    ``subnets`` and ``security_groups`` are those of RunTask's ``awsvpcConfiguration``. Under the
    credentials ids, random and secret, those of the task's role and of its execution role are asked
    for; "" is for a role that it doesn't have or that this host has no credentials for. In host
    mode the token must be shown as well. ``gpus`` are the CDI devices that each container has.

    ``runtimes`` has the named runtime of each container, ``cgroup`` the path of the task's cgroup
    below the mount; both are empty for tasks of agents that knew neither.
    """

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
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    credentials_id: str = field(default="", repr=False)
    execution_credentials_id: str = field(default="", repr=False)
    credentials_token: str = field(default="", repr=False)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    gpus: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def entitled(self) -> bool:
        """Whether there are credentials that the task may ask for."""
        return bool(self.credentials_id or self.execution_credentials_id)

    @property
    def execution_role(self) -> str:
        """The ARN of the execution role; "" if there is none, or no credentials of it here."""
        role = self.definition.execution_role_arn
        return role if role and self.execution_credentials_id else ""

    @property
    def awsvpc(self) -> bool:
        """Whether the task has a network interface of its own, which its containers share."""
        return self.definition.network_mode == "awsvpc"

    @property
    def sandboxes(self) -> tuple[str, ...]:
        """The task's sandboxes: network namespaces with their interfaces, or a share in the host's.

        One for all containers in awsvpc mode, else one for each, which has the container's name.
        """
        return (TASK_SANDBOX,) if self.awsvpc else tuple(each.name for each in self.containers)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all security groups that were asked for, each once."""
        tags = [each["value"] for each in self.tags if each["key"] == GROUPS_TAG]
        tagged = [name for value in tags for name in value.replace(",", " ").split()]
        return tuple(dict.fromkeys((*self.security_groups, *tagged)))

    def sandbox(self, name: str) -> str:
        """The sandbox of container ``name``."""
        return TASK_SANDBOX if self.awsvpc else name

    def members(self, sandbox: str) -> tuple[str, ...]:
        """The containers in ``sandbox``, which must be one of the task's."""
        return tuple(each.name for each in self.containers) if self.awsvpc else (sandbox,)

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
    SPOT = "SpotInterruption"
    TERMINATION = "TerminationNotice"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody asked for the task to stop. ``force`` skips the wait between SIGTERM and SIGKILL."""

    at: float
    reason: str
    force: bool = False
    code: StopCode = StopCode.USER


@dataclass(frozen=True, slots=True)
class Protection:
    """Until when nobody shall end the task for reasons of economy. StopTask may."""

    expires_at: float


@dataclass(frozen=True, slots=True)
class Intent:
    """What people, and its own programs, want of a task. Written by the doors only."""

    task: Task
    stop: StopRequest | None = None
    protection: Protection | None = None


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
class ContainerProgress:
    """The facts about one container. ``ended`` is ECS's STOPPED: nothing of it will run again.

    ``started_at`` is of its first run, ``health`` of its present one.
    """

    image: Image | None = None
    pin: Pin | None = None
    created_at: float | None = None
    started_at: float | None = None
    ended: bool = False
    finished_at: float | None = None
    exit_code: int | None = None
    reason: str = ""
    stop_sent_at: float | None = None
    kill_sent_at: float | None = None
    health: HealthRecord = field(default_factory=HealthRecord)
    restart: Restart | None = None

    @property
    def restarting(self) -> bool:
        """Whether its last run is over and the next one was not seen yet."""
        return self.restart is not None and self.restart.up_at is None and not self.ended

    @property
    def up_at(self) -> float | None:
        """When its present run, or its last one, began; None before and between runs."""
        return self.started_at if self.restart is None else self.restart.up_at


@dataclass(frozen=True, slots=True)
class NetworkProgress:
    """The facts about one sandbox. ``attachment`` stays when it is ``detached``."""

    attachment: Attachment | None = None
    detached: bool = False

    @property
    def attached(self) -> bool:
        """Whether it is attached, as far as is known."""
        return self.attachment is not None and not self.detached


@dataclass(frozen=True, slots=True)
class Progress:
    """The facts about one task that can't be looked up again. Written by its supervisor only.

    ``networks`` are by sandbox. ``interface`` was acquired at ``interface_at``, and stays. At
    ``admitted_at`` the task got what it needs of the host's resources; nothing of it begins before.
    """

    containers: Mapping[str, ContainerProgress]
    networks: Mapping[str, NetworkProgress] = field(default_factory=dict)
    interface: NetworkInterface | None = None
    interface_at: float | None = None
    stop: Stop | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    closed_at: float | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    timeline: tuple[Step, ...] = ()
    admitted_at: float | None = None

    def having(self, name: str, **facts: Any) -> Progress:
        """The same with ``facts`` (fields of ContainerProgress) set for container ``name``."""
        changed = replace(self.containers[name], **facts)
        return replace(self, containers={**self.containers, name: changed})

    def having_all(self, name: str, facts: ContainerProgress) -> Progress:
        """The same with these facts about container ``name`` in the place of all others."""
        return replace(self, containers={**self.containers, name: facts})

    def having_network(self, sandbox: str, **facts: Any) -> Progress:
        """The same with ``facts`` (fields of NetworkProgress) set for ``sandbox``."""
        changed = replace(self.networks[sandbox], **facts)
        return replace(self, networks={**self.networks, sandbox: changed})

    def noting(self, step: Step) -> Progress:
        """The same with ``step`` at the end of the timeline, unless that is full."""
        if len(self.timeline) >= TIMELINE_LIMIT:
            return self
        return replace(self, timeline=(*self.timeline, step))

    @property
    def runs(self) -> bool:
        """Whether a container was started and has not ended."""
        return any(
            each.started_at is not None and not each.ended for each in self.containers.values()
        )

    @property
    def stopped(self) -> bool:
        """Whether every container has ended: the task is STOPPED as ECS means it."""
        return all(each.ended for each in self.containers.values())

    @property
    def closed(self) -> bool:
        """Whether nothing of the task is left on the host."""
        return self.closed_at is not None


def first_progress(task: Task) -> Progress:
    """The progress of a task that was accepted just now, and has what it needs of the host."""
    timeline = [Step(at=task.accepted_at, what="accepted")]
    role = task.definition.task_role_arn
    if role and not task.credentials_id:
        why = f"of {role}: there is no roles file (HOSTLER_TASK_ROLES)"
        timeline.append(Step(at=task.accepted_at, what="without credentials", detail=why))
    return Progress(
        containers={
            each.name: ContainerProgress() for each in task.definition.container_definitions
        },
        networks={each: NetworkProgress() for each in task.sandboxes},
        timeline=tuple(timeline),
        admitted_at=task.accepted_at,
    )
