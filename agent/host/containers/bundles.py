"""containerd's directory of a container, where it is in the way of the container's next process.

containerd 1.6 removes it with what the shim has written in it. If a creation was cut short before
that (the agent was killed, or containerd itself), it never succeeds, and every later creation fails
as the directory is there, until containerd is started again without a record of the container.
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.host.volumes import trees

_IN_THE_WAY = re.compile(r"mkdir (/.*): file exists")


def in_the_way(said: str, namespace: str, key: str) -> Path | None:
    """The container's directory, if that is what containerd ``said`` a creation failed for."""
    found = _IN_THE_WAY.search(said)
    if found is None:
        return None
    path = Path(found[1])
    return path if path.parts[-2:] == (namespace, key) else None


def remove(path: Path) -> None:
    """It is gone, and what is mounted in it unmounted. The caller knows that nobody works in it.

    Raises OSError.
    """
    trees.remove(path)
