"""The program inside the sealed world: makes it habitable, measures, prints, leaves the result."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import adopt, burst, launch, start
from bench.command import Options, parse
from bench.metadata import measure as metadata
from bench.network import measure as network
from bench.pull import measure as pull
from bench.report import Report
from bench.sealed import RESULT
from bench.soak import measure as soak
from bench.world import open_world

BENCHMARKS = {
    "launch": launch.measure,
    "burst": burst.measure,
    "metadata": metadata.measure,
    "pull": pull.measure,
    "adopt": adopt.measure,
    "soak": soak.measure,
    "start": start.measure,
}


def main(scratch: Path, arguments: list[str]) -> None:
    """Runs one benchmark in ``scratch``. Raises what went wrong."""
    logging.basicConfig(level=logging.WARNING)
    options = parse(arguments)
    _settle_in()
    if options.name == "network":  # needs no containerd
        report = network.measure(options)
    elif options.name == "pull" and not options.disk:
        with _in_memory(scratch):
            report = asyncio.run(_measured(scratch, options))
    else:
        report = asyncio.run(_measured(scratch, options))
    print(report.text(options.name))
    (scratch / RESULT).write_text(report.json())


async def _measured(scratch: Path, options: Options) -> Report:
    async with open_world(scratch) as world:
        return await BENCHMARKS[options.name](world, options)


@contextmanager
def _in_memory(scratch: Path) -> Iterator[None]:
    """What is in the directory is in memory, and gone afterwards."""
    subprocess.run(("mount", "-t", "tmpfs", "tmpfs", scratch), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", scratch), check=True)


def _settle_in() -> None:
    """A loopback that works, and own places for the sockets and locks whose paths engines fix."""
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("mount", "-t", "tmpfs", "tmpfs", "/run"),
        ("mount", "-t", "tmpfs", "tmpfs", "/dev/shm"),
    ):
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
