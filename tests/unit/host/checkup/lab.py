"""A host made of invented files and programs, for checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.host.checkup.outcomes import Fact, Finding, Outcome, Severity, Unseen
from agent.host.checkup.programs import NotRun, Ran
from agent.host.checkup.subject import Subject
from agent.settings import Settings


@dataclass
class Host:
    """Files below ``root``, and what programs answer by their command line or its beginning."""

    root: Path
    settings: Settings = field(default_factory=Settings)
    answers: dict[str, Ran | NotRun] = field(default_factory=dict)

    def write(self, name: str, text: str = "") -> None:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def folder(self, name: str) -> None:
        (self.root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def remove(self, name: str) -> None:
        (self.root / name.lstrip("/")).unlink()

    def set(self, **settings: object) -> None:
        self.settings = replace(self.settings, **settings)  # type: ignore[arg-type]

    @property
    def subject(self) -> Subject:
        return Subject(self.settings, self.root, self._run)

    def _run(self, *command: str, **_limits: object) -> Ran:
        line = " ".join(command)
        for beginning, answer in self.answers.items():
            if line.startswith(beginning):
                if isinstance(answer, NotRun):
                    raise answer
                return answer
        raise NotRun(f"there is no program {command[0]}")


def findings(outcomes: Iterable[Outcome]) -> list[Finding]:
    """Those of them, each with a cure."""
    found = [each for each in outcomes if isinstance(each, Finding)]
    assert all(each.cure for each in found)
    return found


def errors(outcomes: Iterable[Outcome]) -> list[str]:
    return [each.what for each in findings(outcomes) if each.severity is Severity.ERROR]


def warnings(outcomes: Iterable[Outcome]) -> list[str]:
    return [each.what for each in findings(outcomes) if each.severity is Severity.WARNING]


def facts(outcomes: Iterable[Outcome]) -> list[str]:
    return [each.what for each in outcomes if isinstance(each, Fact)]


def unseen(outcomes: Iterable[Outcome]) -> list[str]:
    return [each.why for each in outcomes if isinstance(each, Unseen)]


def cure(outcomes: Iterable[Outcome]) -> str:
    """That of the one finding."""
    (found,) = findings(outcomes)
    return found.cure
