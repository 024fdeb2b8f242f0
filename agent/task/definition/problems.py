"""What is wrong with a task definition, said with the place and the cure.

The vocabulary only: one problem, and the error that carries all of them. Finding the problems is
the business of ``reading`` and the rule files; the API and the command line print them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

MOST_PROBLEMS = 100
"""More are not looked for: nobody reads them, and finding them takes its time."""

_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where (a JSON path such as ``volumes[0].name``), and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def under(self, parent: str) -> "Problem":
        """The same problem as seen from outside of the structure at ``parent``."""
        return Problem(f"{parent}.{self.path}" if self.path else parent, self.message)


class DefinitionError(ValueError):
    """A task definition, or overrides of one, that can't be accepted; carries every problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


def the_first(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The first problems, and one that says so if there are more."""
    left = iter(problems)
    yield from islice(left, MOST_PROBLEMS)
    if next(left, None) is not None:
        yield Problem("", "there is more to mend than this: ask again after that")


def close_to(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like it, else empty. Of very many not all are tried."""
    return next(iter(get_close_matches(name, islice(known, _MOST_NAMES), n=1)), "")


def json_path(location: Iterable[int | str]) -> str:
    """``("volumes", 0, "name")`` as a person writes it: ``volumes[0].name``."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path
