"""containerd: whether it answers, what it is, and whether its snapshotter works."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError
from agent.host.checkup import disk
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen
from agent.host.checkup.subject import Subject

CHECK = "containerd"

OLDEST = (1, 6)
PATIENCE_S = 5.0


async def check(subject: Subject, client: Containerd) -> AsyncIterator[Outcome]:
    """Raises OSError."""
    try:
        version = (await client.version(timeout=PATIENCE_S)).version
    except ContainerdError as error:
        if os.geteuid() != 0 and not os.access(client.socket, os.W_OK):
            yield Unseen(CHECK, f"only root may ask {client.socket}")
        else:
            yield _silent(subject, client, error)
        return
    yield _judged(version)
    try:
        root = await client.introspection.snapshots_root(timeout=PATIENCE_S)
    except ContainerdError as error:
        what = f"its snapshotter {client.snapshotter} does not work: {error}"
        cure = "'ctr plugins ls' tells why; correct it, or set HOSTLER_SNAPSHOTTER"
        yield Finding(CHECK, what, cure)
        return
    yield Fact(CHECK, f"snapshots of {client.snapshotter} are in {root}")
    for outcome in disk.check_images(subject, root):
        yield outcome


def _silent(subject: Subject, client: Containerd, error: ContainerdError) -> Finding:
    folder = client.socket.parent
    if client.socket.is_relative_to(subject.settings.run_dir):
        log = subject.settings.state_dir / "containerd" / "containerd.log"
        cure = f"it is the agent's own, and starts with it; its log is {log}"
    else:
        unit = folder.name if folder.name == "hostler-containerd" else "containerd"
        cure = f"'systemctl restart {unit}' (tasks run on), then 'journalctl -u {unit} -n 50'"
    return Finding(CHECK, f"it does not answer: {error}", cure)


def _judged(version: str) -> Outcome:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        what = f"it calls its version {version!r}, which says nothing"
        return Fact(CHECK, what)
    number = int(found[1]), int(found[2])
    if number < OLDEST:
        what = f"it is {version}; Hostler needs 1.6 or newer"
        return Finding(CHECK, what, "install a newer containerd, or set HOSTLER_CONTAINERD")
    return Fact(CHECK, f"it is {version}")
