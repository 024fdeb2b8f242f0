"""The pieces of a support bundle: what each is called, and who gets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from agent.cli.support.masks import Masks
from agent.config import Loaded
from agent.host.checkup.subject import Subject
from agent.settings import Settings


class Missing(Exception):
    """A piece can't be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where pieces come from. ``loaded`` is None where the configuration can't be used.

    ``socket`` is the agent's; ``tasks`` its tasks as ``hostler inspect`` shows them, masked.
    """

    subject: Subject
    socket: Path
    loaded: Loaded | None
    masks: Masks
    tasks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return self.subject.settings


File: TypeAlias = tuple[str, str]
"""A name in the bundle and a text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``get`` yields files, or raises Missing, CommandError, ContainerdError, OSError."""

    name: str
    get: Callable[[Site], Iterator[File]]


def as_json(name: str, value: Any) -> File:
    """A file of JSON."""
    return name, json.dumps(value, indent=2, default=str) + "\n"
