"""What a check says: something is wrong, or is so and needs nothing, or could not be seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Tasks don't start, or lack something that they were promised."""
    WARNING = "warning"
    """Tasks run, but this will be in their way sooner or later."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: ``what`` it is and the ``cure``, in sentences."""

    check: str
    what: str
    cure: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was looked at, and that needs nothing to be done."""

    check: str
    what: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be looked at, and why."""

    check: str
    why: str


Outcome: TypeAlias = Finding | Fact | Unseen


def warning(check: str, what: str, cure: str) -> Finding:
    """A finding that can wait till morning."""
    return Finding(check, what, cure, Severity.WARNING)
