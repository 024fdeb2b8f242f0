"""The arguments of ``./dev bench``, read by the outer program and again by the one inside."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES = ("launch", "burst")
ROUNDS = {"launch": 21, "burst": 3}


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. ``idle_s``: how long an idle agent is watched, in seconds."""

    name: str
    rounds: int
    idle_s: float
    json: Path | None

    @property
    def arguments(self) -> list[str]:
        """The same as arguments, but for the file: that one lies outside."""
        return [self.name, "--rounds", str(self.rounds), "--idle", str(self.idle_s)]


def parse(arguments: Sequence[str]) -> Options:
    """Reads the arguments; ends the program with a message when they are wrong."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures Hostler beside its peers.")
    parser.add_argument("name", choices=NAMES, help="what to measure")
    parser.add_argument("--rounds", type=_positive(int), help="turns of each (launch 21, burst 3)")
    parser.add_argument(
        "--idle", type=_positive(float), default=20.0, help="seconds to watch an idle agent (20)"
    )
    parser.add_argument("--json", type=Path, help="a file for the figures and ratios")
    given = parser.parse_args(arguments)
    return Options(given.name, given.rounds or ROUNDS[given.name], given.idle, given.json)


def _positive(kind: type[int] | type[float]):  # type: ignore[no-untyped-def]
    def read(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be more than 0")
        return value

    return read
