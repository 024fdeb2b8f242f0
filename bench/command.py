"""The arguments of ``./dev bench``, read by the outer program and again by the one inside."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = {"launch": 21, "burst": 3, "network": 15, "metadata": 5, "pull": 5}
NAMES = tuple(ROUNDS)


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. ``idle_s``: how long an idle agent is watched, in seconds.

    ``disk``: stores of images are on the disk, not in memory.
    """

    name: str
    rounds: int
    idle_s: float
    json: Path | None
    disk: bool = False

    @property
    def arguments(self) -> list[str]:
        """The same as arguments, but for the file: that one lies outside."""
        disk = ["--disk"] if self.disk else []
        return [self.name, "--rounds", str(self.rounds), "--idle", str(self.idle_s), *disk]


def parse(arguments: Sequence[str]) -> Options:
    """Reads the arguments; ends the program with a message when they are wrong."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures Hostler beside its peers.")
    usual = ", ".join(f"{name} {rounds}" for name, rounds in ROUNDS.items())
    parser.add_argument("name", choices=NAMES, help="what to measure")
    parser.add_argument("--rounds", type=_count, help=f"turns ({usual})")
    parser.add_argument(
        "--idle", type=_seconds, default=20.0, help="seconds to watch an idle agent (20)"
    )
    parser.add_argument("--disk", action="store_true", help="pull to the disk and not to memory")
    parser.add_argument("--json", type=Path, help="a file for the figures and ratios")
    given = parser.parse_args(arguments)
    rounds = given.rounds or ROUNDS[given.name]
    return Options(given.name, rounds, given.idle, given.json, given.disk)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a number from 1 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise argparse.ArgumentTypeError("must be seconds, more than 0 and less than 3600")
    return seconds
