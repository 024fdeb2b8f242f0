"""The Python that the package is for: the system's own, not the one that builds it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deb import BuildError

OLDEST = (3, 11)

SYSTEMS = (Path("/usr/bin/python3"), Path("/usr/bin/python3.11"))
"""Debian's and Ubuntu's; the second where the first is too old (Ubuntu 22.04)."""

_ASKED = "import sys; print(*sys.version_info[:2])"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that was run; ``path`` is where it is here."""

    path: Path
    major: int
    minor: int

    @property
    def name(self) -> str:
        """Its name as a command and as a package, such as ``python3.11``."""
        return f"python{self.major}.{self.minor}"


def find(candidates: Sequence[Path] = SYSTEMS) -> Interpreter:
    """The first that is new enough. Raises BuildError."""
    seen = []
    for path in candidates:
        version = _version(path)
        if version is not None and version >= OLDEST:
            return Interpreter(path, *version)
        seen.append(f"{path} is {_said(version)}")
    raise BuildError(
        f"the package needs a Python of {_said(OLDEST)} or newer to be for: {', '.join(seen)};"
        " install python3.11, or name one with --python"
    )


def _version(path: Path) -> tuple[int, int] | None:
    command = [str(path), "-I", "-c", _ASKED]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor = map(int, ran.stdout.split())
    return major, minor


def _said(version: tuple[int, int] | None) -> str:
    return "missing" if version is None else ".".join(map(str, version))
