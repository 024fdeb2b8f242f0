"""``bench burst``: fifty containers at once, by Hostler, by the bare client and by Docker's API."""

from __future__ import annotations

from bench.command import Options
from bench.report import Report
from bench.world import World


async def measure(world: World, options: Options) -> Report:
    """Runs the rounds."""
    raise NotImplementedError
