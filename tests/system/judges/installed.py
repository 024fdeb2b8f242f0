"""Where the judges are installed, and installing them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3] / ".judges"
LISTS = Path(__file__).parent
DEADLINE_S = 300.0

_PIP = (
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
    "--no-deps",
)
_NPM = ("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def python() -> Path:
    """The interpreter of an environment with the judges from PyPI in it."""
    interpreter = ROOT / "python" / "bin" / "python"
    _install(
        LISTS / "requirements.txt",
        ROOT / "python",
        [sys.executable, "-m", "venv", ROOT / "python"],
        [interpreter, "-m", "pip", *_PIP, "-r", LISTS / "requirements.txt"],
    )
    return interpreter


def node() -> Path:
    """A directory with the judges from npm in it. The test is skipped without Node."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    target = ROOT / "node"
    _install(
        LISTS / "package.json",
        target,
        ["mkdir", "-p", target],
        ["cp", LISTS / "package.json", target],
        ["npm", *_NPM, "--prefix", target],
    )
    return target


def _install(listed: Path, target: Path, *commands: Sequence[str | Path]) -> None:
    """The commands made ``target`` from this list and interpreter. Skips at home if they can't."""
    made_from = f"{sys.version}\n{listed.read_text()}"
    mark = target / "made-from"
    if mark.exists() and mark.read_text() == made_from:
        return
    shutil.rmtree(target, ignore_errors=True)
    # Who started this process has the host's network, which a worker of the tests has not.
    outside = ("nsenter", f"--net=/proc/{os.getppid()}/ns/net")
    for command in commands:
        ran = subprocess.run(
            [*outside, *command], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        if ran.returncode and not os.environ.get("CI"):
            pytest.skip(f"no judges from {listed.name}: {ran.stderr.strip()[-300:]}")
        assert ran.returncode == 0, ran.stderr
    mark.write_text(made_from)
