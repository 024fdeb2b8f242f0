"""What the agent tells of itself, and the answer to whoever asks whether it is well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from metadata.encoding import Json
from metadata.front.asking import Answer, shown


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the agent can't work without; `problem` is empty while it is well."""

    name: str
    problem: str = ""


class Checkup(Protocol):
    """The agent's look at itself."""

    @property
    def failures(self) -> int:
        """How often work on a task failed unexpectedly, since the agent started."""

    async def checks(self) -> Sequence[Check]:
        """All checks, some seconds old at most, within some seconds. Raises nothing."""


def health(checks: Sequence[Check], tasks: int) -> Answer:
    """200 while everything is well, else 503 with what is wrong, by check."""
    problems = {each.name: each.problem for each in checks if each.problem}
    body: dict[str, Json] = {"status": "unhealthy" if problems else "healthy", "tasks": tasks}
    if problems:
        body["problems"] = problems
    return shown(body, 503 if problems else 200)
