"""One look at the host: each piece of a task is absent, seen in some state, or unknown.

*Unknown* means that the question failed or that the piece is being changed right now; the plan
never starts, deletes or closes anything on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from agent.task.records import Provision

T = TypeVar("T")
K = TypeVar("K", bound=str)


@dataclass(frozen=True, slots=True)
class Absent:
    """A look found that the piece does not exist."""


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A look found the piece in this state."""

    state: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """The look failed, or the piece is being changed right now. Nothing may be concluded."""

    why: str


Look = Absent | Seen[T] | Unknown


class Running(StrEnum):
    """State of a container's first process, as the runtime tells it."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    UNSTARTED = "UNSTARTED"
    """The container is recorded, but the runtime has no process for it: a half-made creation."""


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """A container as the runtime shows it. Exit code and time are set when STOPPED.

    ``out_of_memory``: the kernel killed a process of it, as a limit on memory was reached.
    ``namespace_lost``: it was killed because the PID namespace that it shared came to an end.
    """

    running: Running
    pid: int = 0
    exit_code: int | None = None
    exited_at: float | None = None
    out_of_memory: bool = False
    namespace_lost: bool = False


@dataclass(frozen=True, slots=True)
class NetworkSeen:
    """An attached sandbox; ``served`` says whether its metadata socket is open."""

    served: bool


@dataclass(frozen=True, slots=True)
class InterfaceSeen:
    """A network interface that the task holds; ``present``: its device is there to be attached.

    None is for a look that did not know yet which device that is.
    """

    present: bool | None


@dataclass(frozen=True, slots=True)
class View:
    """One look at everything on the host that belongs to a task; ``networks`` are by sandbox.

    ``interface`` is Absent where the task holds none, as in all modes but awsvpc. ``credentials``
    are those of its roles, which nobody but the agent keeps. ``provisions`` has every kind that the
    task needs. ``shortage`` is what the task must wait for as others have it, in words.
    """

    task: Look[None]
    networks: Mapping[str, Look[NetworkSeen]]
    containers: Mapping[str, Look[ContainerSeen]]
    interface: Look[InterfaceSeen] = Absent()
    credentials: Look[None] = Absent()
    provisions: Mapping[Provision, Look[None]] = field(default_factory=dict)
    shortage: str = ""

    @property
    def unknown(self) -> bool:
        """Whether any piece is Unknown."""
        whole = (self.task, self.interface, self.credentials)
        many = (self.networks, self.containers, self.provisions)
        pieces = (*whole, *(look for each in many for look in each.values()))
        return any(isinstance(each, Unknown) for each in pieces)

    def hiding(self, busy: frozenset[str]) -> View:
        """The same with every piece whose key is in ``busy`` unknown: it is being changed."""
        changing = Unknown("being changed")

        def hide(kind: str, looks: Mapping[K, Look[T]]) -> dict[K, Look[T]]:
            return {
                name: changing if f"{kind}/{name}" in busy else look for name, look in looks.items()
            }

        return View(
            task=changing if "task" in busy else self.task,
            networks=hide("network", self.networks),
            containers=hide("container", self.containers),
            interface=changing if "interface" in busy else self.interface,
            credentials=changing if "credentials" in busy else self.credentials,
            provisions=hide("provision", self.provisions),
            shortage=self.shortage,
        )
