"""Task protection: who can have it, for how long, and whether it still holds.

It ends by the clock alone. What ends tasks for reasons of economy (draining the host, a service
with fewer tasks) asks here; StopTask does not, as on ECS. Unlike there, a task needs no service.
"""

from __future__ import annotations

import math

from agent.task import status
from agent.task.model import Intent, Progress, Protection

DEFAULT_MINUTES = 120
LONGEST_MINUTES = 2880

NOT_VALID = "TASK_NOT_VALID"
"""ECS's reason for a task that can't be protected."""


def lasting(minutes: int | None, now: float) -> Protection:
    """Protection from now on, until a full second. Raises ValueError that tells ECS's limits."""
    if minutes is None:
        minutes = DEFAULT_MINUTES
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise ValueError(f"expiresInMinutes must be from 1 to {LONGEST_MINUTES}, not {minutes}")
    return Protection(math.ceil(now) + minutes * 60)


def possible(intent: Intent, progress: Progress) -> bool:
    """Whether the task can be protected: one that is to stop can't."""
    return status.desired(intent, progress) == "RUNNING"


def until(intent: Intent, now: float) -> float | None:
    """When the protection that holds now ends; None without one."""
    kept = intent.protection
    return kept.expires_at if kept is not None and now < kept.expires_at else None
