"""Every change to the world as a value, with its key, and what may come of one.

An action says "make it so" and is safe to repeat. At most one action per key is in flight; while it
is, the piece with that key counts as unknown. Carrying actions out belongs to ``agent.host``.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.images import Obtained
from agent.task.model import Progress
from agent.task.network import Attachment, NetworkInterface
from agent.task.records import Pin, Provision


@dataclass(frozen=True, slots=True)
class ReleaseTask:
    """The task's cgroup and directory are gone. Only when all its other pieces are."""

    @property
    def key(self) -> str:
        return "task"


@dataclass(frozen=True, slots=True)
class _OfImage:
    container: str

    @property
    def key(self) -> str:
        return f"image/{self.container}"


@dataclass(frozen=True, slots=True)
class ObtainImage(_OfImage):
    """The container's image is on the host. Gives an Obtained.

    Gives a Pin where that takes a pull and the container has none yet: its version is to be kept
    before anything is transferred.
    """


@dataclass(frozen=True, slots=True)
class _OfInterface:
    @property
    def key(self) -> str:
        return "interface"


@dataclass(frozen=True, slots=True)
class AcquireInterface(_OfInterface):
    """The task holds a network interface of its own (awsvpc). Gives a NetworkInterface."""


@dataclass(frozen=True, slots=True)
class ReleaseInterface(_OfInterface):
    """The task holds none any more. Only when none of its sandboxes is attached."""


@dataclass(frozen=True, slots=True)
class ObtainCredentials:
    """The credentials of the task's role are there to be asked for, until withdrawn."""

    @property
    def key(self) -> str:
        return "credentials"


@dataclass(frozen=True, slots=True)
class WithdrawCredentials:
    """No credentials of the task's are kept any more.

    With a key of its own: a stopped task drops obtaining them, but never this.
    """

    @property
    def key(self) -> str:
        return "withdrawal"


@dataclass(frozen=True, slots=True)
class _OfProvision:
    kind: Provision

    @property
    def key(self) -> str:
        return f"provision/{self.kind}"


@dataclass(frozen=True, slots=True)
class Provide(_OfProvision):
    """The provision is there for the task's containers."""


@dataclass(frozen=True, slots=True)
class TakeBack(_OfProvision):
    """Nothing of the provision is left. Only when no container of the task needs it any more."""


@dataclass(frozen=True, slots=True)
class _OfNetwork:
    sandbox: str

    @property
    def key(self) -> str:
        return f"network/{self.sandbox}"


@dataclass(frozen=True, slots=True)
class AttachNetwork(_OfNetwork):
    """The sandbox exists, is connected and served metadata. Gives an Attachment."""


@dataclass(frozen=True, slots=True)
class ServeMetadata(_OfNetwork):
    """The metadata socket of an attached sandbox is open (again, after a restart)."""


@dataclass(frozen=True, slots=True)
class DetachNetwork(_OfNetwork):
    """Namespace, interfaces, addresses and published ports of the sandbox are gone."""


@dataclass(frozen=True, slots=True)
class _OfContainer:
    container: str

    @property
    def key(self) -> str:
        return f"container/{self.container}"


@dataclass(frozen=True, slots=True)
class CreateContainer(_OfContainer):
    """The container exists in the runtime, its process ready to start; its task's cgroup too."""


@dataclass(frozen=True, slots=True)
class StartContainer(_OfContainer):
    """The container's process runs, or has run."""


@dataclass(frozen=True, slots=True)
class RestartContainer(_OfContainer):
    """The container's process runs again, or has run, after the exit that is in its progress.

    Record, snapshot and log pipes are those of before.
    """


@dataclass(frozen=True, slots=True)
class Signal(_OfContainer):
    """The signal was delivered to the container's first process, or that is gone."""

    signal: int


@dataclass(frozen=True, slots=True)
class DeleteContainer(_OfContainer):
    """Process, snapshot, log pipes and record of the container are gone."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The container's health command was run once. Gives a Probed."""

    container: str

    @property
    def key(self) -> str:
        return f"probe/{self.container}"


@dataclass(frozen=True, slots=True)
class ForgetTask:
    """Logs and volumes of a closed task are gone, and its images were in use until now."""

    @property
    def key(self) -> str:
        return "remains"


Action = (
    ReleaseTask
    | ForgetTask
    | ObtainImage
    | AcquireInterface
    | ReleaseInterface
    | ObtainCredentials
    | WithdrawCredentials
    | Provide
    | TakeBack
    | AttachNetwork
    | ServeMetadata
    | DetachNetwork
    | CreateContainer
    | StartContainer
    | RestartContainer
    | Signal
    | DeleteContainer
    | Probe
)


@dataclass(frozen=True, slots=True)
class Probed:
    """Outcome of a health command; ``exit_code`` is -1 when it ran out of time."""

    exit_code: int
    output: str


Gift = Obtained | Pin | NetworkInterface | Attachment | Probed | None


@dataclass(frozen=True, slots=True)
class Done:
    """The action took effect. ``gave`` is what only the action could know."""

    gave: Gift = None


@dataclass(frozen=True, slots=True)
class Again:
    """The action failed in a way that may pass; try again later. ``why`` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Never:
    """The action failed for good. ``error`` is ECS's name for it, ``why`` the text behind it."""

    error: str
    why: str


Result = Done | Again | Never


@dataclass(frozen=True, slots=True)
class News:
    """What came of an action. May be lost in a crash without harm: the next look tells the rest."""

    action: Action
    began_at: float
    at: float
    result: Result


@dataclass(frozen=True, slots=True)
class Decision:
    """What the plan wants: facts to save, actions to start, keys to cancel, when to look again.

    ``wake_at`` is None when only news or an event can change anything.
    """

    progress: Progress
    actions: tuple[Action, ...]
    wake_at: float | None = None
    drop: frozenset[str] = frozenset()
