"""Versions of what takes part."""

from __future__ import annotations

import platform
import re
import shutil

from agent import VERSION
from bench import programs
from bench.programs import ProgramFailed

_PROGRAMS = ("containerd", "runc", "dockerd", "podman")


async def versions() -> dict[str, str]:
    """By name, of those that are installed."""
    found = {"hostler": VERSION, "python": platform.python_version()}
    for name in _PROGRAMS:
        if shutil.which(name) is None:
            continue
        try:
            said = await programs.run(name, "--version")
        except ProgramFailed:
            continue
        number = re.search(r"\d+\.\d+(\.\d+)?", said)
        found[name] = number[0] if number else "?"
    return found
