"""What Progress keeps besides facts: health so far, pins, failed actions that wait, timeline.

And words that actions and looks share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

REASON_LIMIT = 1024
"""Characters of a reason that ECS keeps."""


class Health(StrEnum):
    """Health of a container as ECS names it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class Provision(StrEnum):
    """What a task may need as a whole, in the order in which it is provided."""

    VOLUMES = "volumes"
    NAMESPACES = "namespaces"
    SECRETS = "secrets"


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
class Restart:
    """The last time that the restart policy ran a container again; ``count`` includes it.

    It was decided at ``at``, as the answer to the exit with ``exit_code`` (and ``reason``, if there
    was one) that the runtime had at ``exited_at``. ``up_at`` is when the new run was found under
    way, None before.
    """

    count: int
    at: float
    exit_code: int
    exited_at: float | None = None
    reason: str = ""
    up_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """The version of its image that a container is to get, until it has it.

    ``media_type`` and ``size`` (bytes) of the manifest or index are set once the registry told them
    to the container's own login.
    """

    digest: str
    media_type: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """An action that failed, first at ``since``, and waits for its next try."""

    until: float
    tries: int
    why: str
    since: float = 0.0


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
