"""``python -m agent.containerd --root DIR --state DIR``: becomes a containerd for Hostler alone.

What hostler-containerd.service runs on hosts that have the program, and no service of their own for
it. Its configuration is that of the agent's own containerd; it serves ``containerd.sock`` in
``state``.
"""

import argparse
import os
import sys
from pathlib import Path

from agent.containerd.configfile import ContainerdMissing, prepared

SOCKET_NAME = "containerd.sock"
FAILED = 1


def main(arguments: list[str]) -> int:
    """The exit status if it can't become that."""
    parser = argparse.ArgumentParser(prog="python -m agent.containerd", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="what must survive a reboot")
    parser.add_argument("--state", type=Path, required=True, help="what a reboot may take")
    given = parser.parse_args(arguments)
    try:
        command = prepared(given.root, given.state, given.state / SOCKET_NAME)
        os.execve(command[0], command, _environment())  # noqa: S606 - what this is for
    except (ContainerdMissing, OSError) as error:
        print(f"hostler: {error}", file=sys.stderr)  # noqa: T201
        return FAILED


def _environment() -> dict[str, str]:
    """What it needs; its shims inherit that."""
    wanted = ("PATH", "NOTIFY_SOCKET")
    return {name: os.environ[name] for name in wanted if name in os.environ}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
