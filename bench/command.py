"""The arguments of ``./dev bench``, read by the outer program and again by the one inside."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = {
    "launch": 21,
    "burst": 3,
    "network": 15,
    "metadata": 5,
    "pull": 5,
    "adopt": 5,
    "soak": 1,
    "start": 11,
}
NAMES = tuple(ROUNDS)
MINUTES = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. ``idle_s``: how long an idle agent is watched, in seconds.

    ``disk``: stores of images are on the disk, not in memory. ``minutes``: how long to soak.
    """

    name: str
    rounds: int
    idle_s: float
    json: Path | None
    disk: bool = False
    minutes: float = MINUTES

    @property
    def arguments(self) -> list[str]:
        """The same as arguments, but for the file: that one lies outside."""
        disk = ["--disk"] if self.disk else []
        numbers = {"rounds": self.rounds, "idle": self.idle_s, "minutes": self.minutes}
        given = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
        return [self.name, *given, *disk]


def parse(arguments: Sequence[str]) -> Options:
    """Reads the arguments; ends the program with a message when they are wrong."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures Hostler beside its peers.")
    usual = ", ".join(f"{name} {rounds}" for name, rounds in ROUNDS.items())
    parser.add_argument("name", choices=NAMES, help="what to measure")
    parser.add_argument("--rounds", type=_count, help=f"turns ({usual})")
    parser.add_argument(
        "--idle", type=_positive, default=20.0, help="seconds to watch an idle agent (20)"
    )
    parser.add_argument("--disk", action="store_true", help="pull to the disk and not to memory")
    parser.add_argument(
        "--minutes", type=_positive, default=MINUTES, help="how long to soak (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="a file for the figures and ratios")
    given = parser.parse_args(arguments)
    rounds = given.rounds or ROUNDS[given.name]
    return Options(given.name, rounds, given.idle, given.json, given.disk, given.minutes)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a number from 1 up")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 3600:
        raise argparse.ArgumentTypeError("must be a number, more than 0 and less than 3600")
    return number
