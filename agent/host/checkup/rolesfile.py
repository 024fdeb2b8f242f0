"""The roles file, whose mistakes show only when a task needs credentials."""

from __future__ import annotations

from collections.abc import Iterator

from agent.host.checkup.outcomes import Finding, Outcome
from agent.host.checkup.subject import Subject
from metadata.credentials import roles

CHECK = "roles"


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    for each in roles.problems(subject.settings.task_roles):
        yield Finding(CHECK, each, "mend it: tasks of such roles don't start")
