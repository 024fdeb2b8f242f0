"""Commands that need the network of the machine on which the tests run."""

from __future__ import annotations

import os


def outside() -> list[str]:
    """What goes before such a command.

    A worker of ``pytest -n`` is in a network namespace with no way out (``tests/conftest.py``);
    the process that started it is not.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return []
    return ["nsenter", f"--net=/proc/{os.getppid()}/ns/net", "--"]
