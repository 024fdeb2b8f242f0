"""The values that go into and come out of the client: frozen, with nothing of protobuf in them.

Instants are wall-clock seconds since the epoch. Digests are ``sha256:<hex>``. No behaviour here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

RUNC_SHIM = "io.containerd.runc.v2"
GROUP_ANNOTATION = "io.containerd.runc.v2.group"
"""OCI annotation: containers with the same value share one shim process."""

GC_ROOT_LABEL = "containerd.io/gc.root"
"""On content or a snapshot: never collected, lease or not. The value is any non-empty text."""


@dataclass(frozen=True, slots=True)
class Version:
    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a snapshot, as mount(8) takes it."""

    type: str
    source: str
    options: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI content descriptor."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    target: Descriptor
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContentInfo:
    digest: str
    size: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """How far an unfinished write has come: bytes already there, of ``total`` (0: not told)."""

    ref: str
    offset: int
    total: int
    expected: str


class SnapshotKind(Enum):
    UNKNOWN = 0
    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    name: str
    parent: str
    kind: SnapshotKind
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    id: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuncOptions:
    """Options of the runc v2 shim (``containerd.runc.v1.Options``); empty means its default."""

    binary_name: str = ""
    root: str = ""
    systemd_cgroup: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0
    no_new_keyring: bool = False
    no_pivot_root: bool = False


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """Options of shims that take a file of settings (``runtimeoptions.v1.Options``).

    ``type_url`` says what is in the file, for shims that want to know.
    """

    config_path: str
    type_url: str = ""


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """containerd's record of a container. ``spec`` is the OCI runtime spec as JSON.

    ``options`` read back is None too when the record holds options of neither kind.
    ``extensions`` are whatever else is to be kept with it, as JSON. ``created_at`` is containerd's.
    """

    id: str
    spec: bytes
    image: str = ""
    runtime: str = RUNC_SHIM
    options: RuncOptions | ConfigOptions | None = None
    snapshotter: str = ""
    snapshot_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, bytes] = field(default_factory=dict)
    created_at: float = field(default=0.0, compare=False)


class Status(Enum):
    """State of a process; the values are containerd's."""

    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4
    PAUSING = 5


@dataclass(frozen=True, slots=True)
class Exit:
    """``status`` as a shell shows it: 128 + n when signal n ended the process."""

    status: int
    at: float


@dataclass(frozen=True, slots=True)
class Process:
    """A container's first process, or one that was exec'ed (``exec_id`` not empty)."""

    container_id: str
    exec_id: str
    pid: int
    status: Status
    exit_status: int = 0
    exited_at: float = 0.0

    @property
    def exit(self) -> Exit | None:
        """How it ended; None unless it is STOPPED."""
        if self.status is not Status.STOPPED:
            return None
        return Exit(self.exit_status, self.exited_at)
