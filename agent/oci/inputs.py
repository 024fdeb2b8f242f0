"""Everything a runtime spec is made of, as plain values; gathered by the host floor.

``build_spec`` in ``spec`` turns ``SpecInputs`` into the spec. Nothing here looks at the machine:
what must be known of it is in ``HostFacts``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.oci.image import ImageConfig
from agent.oci.user import User
from agent.task.definition import ContainerDefinition
from agent.task.limits import TaskLimits

DEFAULT_NOFILE = (1024, 524288)


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the host by its path there, with its numbers, mode bits and owner."""

    path: str
    type: Literal["b", "c"]
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file or directory of the host inside the container."""

    source: str
    destination: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the spec depends on beyond the task.

    ``capabilities`` are those the agent itself may give (its bounding set), without ``CAP_``.
    ``machine`` is uname's. ``nofile`` is the default soft and hard limit of open files: systemd's,
    which is what containers of a Docker under systemd get; an agent that may not raise limits
    passes its own hard limit. ``devices`` are given to privileged containers.
    """

    cgroup_version: Literal[1, 2]
    machine: str
    capabilities: frozenset[str]
    apparmor_profile: str | None = None
    nofile: tuple[int, int] = DEFAULT_NOFILE
    devices: tuple[DeviceNode, ...] = ()


@dataclass(frozen=True, slots=True)
class SpecInputs:
    """One container, ready to be described.

    ``netns`` is the path of its network namespace, None for the host's; ``others_controls`` are the
    system controls that other containers of that namespace ask for. ``mounts`` are its volumes
    and the files from ``files``. ``devices`` are the nodes behind linuxParameters.devices.
    ``injected`` are the agent's own environment variables, which win. ``init_path`` is the static
    init of the host, needed for initProcessEnabled. ``task_limits`` are given to the container
    where it has no such limits of its own.
    """

    container: ContainerDefinition
    image: ImageConfig
    user: User
    host: HostFacts
    rootfs: str
    hostname: str
    netns: str | None
    cgroup_path: str
    others_controls: frozenset[str] = frozenset()
    pid_mode: Literal["host"] | None = None
    ipc_mode: Literal["host", "none"] | None = None
    injected: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[BindMount, ...] = ()
    devices: tuple[DeviceNode, ...] = ()
    init_path: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    task_limits: TaskLimits = field(default_factory=TaskLimits)
