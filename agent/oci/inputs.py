"""Everything a runtime spec is made of, as plain values; gathered by the host floor.

``build_spec`` in ``spec`` turns ``SpecInputs`` into the spec. Nothing here looks at the machine:
what must be known of it is in ``HostFacts``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.oci.edits import NO_EDITS, DeviceNode, Edits
from agent.oci.image import ImageConfig
from agent.oci.user import User
from agent.task.definition import ContainerDefinition
from agent.task.limits import TaskLimits

DEFAULT_NOFILE = (1024, 524288)


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file or directory of the host inside the container."""

    source: str
    destination: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class SelinuxLabels:
    """Labels ``user:role:type:level`` of a container's processes, and of its files."""

    process: str = "system_u:system_r:container_t:s0"
    file: str = "system_u:object_r:container_file_t:s0"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the spec depends on beyond the task.

    ``capabilities`` are those the agent itself may give (its bounding set), without ``CAP_``.
    ``machine`` is uname's. ``nofile`` is the default soft and hard limit of open files: systemd's,
    which is what containers of a Docker under systemd get; an agent that may not raise limits
    passes its own hard limit. ``devices`` are given to privileged containers. ``apparmor``: it is
    in force. ``selinux`` are the labels that its policy has for containers, None without SELinux.
    ``recursive_read_only``: the kernel can make a mount and all below it read-only (Linux 5.12).
    """

    cgroup_version: Literal[1, 2]
    machine: str
    capabilities: frozenset[str]
    apparmor_profile: str | None = None
    nofile: tuple[int, int] = DEFAULT_NOFILE
    devices: tuple[DeviceNode, ...] = ()
    apparmor: bool = False
    selinux: SelinuxLabels | None = None
    recursive_read_only: bool = False


@dataclass(frozen=True, slots=True)
class SharedNamespaces:
    """Paths of the namespaces that a task's containers share; None: each has one of its own.

    ``memory`` is the directory of the shared /dev/shm, which goes with ``ipc``.
    """

    pid: str | None = None
    ipc: str | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class Private:
    """Variables that must not be on a disk. ``secrets`` win over all others.

    Those ``from_files`` (environmentFiles) win over the image's only.
    """

    from_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.from_files or self.secrets)

    def value(self, name: str) -> str | None:
        """What the container is given under ``name`` from here; None: nothing."""
        return self.secrets.get(name, self.from_files.get(name))


@dataclass(frozen=True, slots=True)
class SpecInputs:
    """One container, ready to be described.

    ``netns`` is the path of its network namespace, None for the host's; ``others_controls`` are the
    system controls that other containers of that namespace ask for. ``shared`` is what it shares
    with the other containers of its task. ``mounts`` are its volumes and the files from ``files``.
    ``devices`` are the nodes behind linuxParameters.devices, ``edits`` is what its GPUs need.
    ``injected`` are the agent's own environment variables, which win over all but ``private``
    secrets; ``linked`` tell of linked containers, and lose. ``init_path`` is the static init of the
    host, needed for initProcessEnabled. ``task_limits`` are given to the container where it has no
    such limits of its own.
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
    shared: SharedNamespaces = SharedNamespaces()
    injected: Mapping[str, str] = field(default_factory=dict)
    linked: Mapping[str, str] = field(default_factory=dict)
    private: Private = Private()
    mounts: tuple[BindMount, ...] = ()
    devices: tuple[DeviceNode, ...] = ()
    edits: Edits = NO_EDITS
    init_path: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    task_limits: TaskLimits = field(default_factory=TaskLimits)
