"""Commands that need the network of the machine on which the tests run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def outside() -> list[str]:
    """What goes before such a command.

    A worker of ``pytest -n`` is in a network namespace with no way out (``tests/conftest.py``);
    the process that started it is not.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return []
    return ["nsenter", f"--net=/proc/{os.getppid()}/ns/net", "--"]


def make(
    command: Sequence[str],
    lock: int,
    deadline_s: float,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs such a command, which makes something that is kept, and holds ``lock`` (see kept).

    Raises RuntimeError with what it said, or TimeoutExpired.
    """
    ran = subprocess.run(
        [*outside(), *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=deadline_s,
        check=False,
        pass_fds=[lock],
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command[:8])} ended with {ran.returncode}:\n{ran.stdout}")
