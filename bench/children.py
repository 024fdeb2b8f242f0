"""Programs run to their end, each with its time and its own processor time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.programs import ProgramFailed


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds from start to end, and CPU seconds of the program and its children."""

    wall_s: float
    cpu_s: float


async def run(command: Sequence[str], env: Mapping[str, str]) -> Run:
    """Runs the program, whose output goes nowhere. Raises ProgramFailed."""
    return await asyncio.to_thread(_run, command, env)


def _run(command: Sequence[str], env: Mapping[str, str]) -> Run:
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    began = time.monotonic()
    pid = os.posix_spawn(command[0], list(command), env, file_actions=nowhere)
    _, status, used = os.wait4(pid, 0)
    wall_s = time.monotonic() - began
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise ProgramFailed(f"{' '.join(command)} ended with {code}")
    return Run(wall_s, used.ru_utime + used.ru_stime)
