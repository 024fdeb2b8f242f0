"""The ``config.toml`` of a containerd that serves nobody but Hostler.

For the one that the agent starts (``embedded``) and for hostler-containerd.service (``__main__``).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_UNWANTED_PLUGINS = (
    "io.containerd.grpc.v1.cri",  # Kubernetes: 1.6, 1.7
    "io.containerd.cri.v1.images",  # and 2.x
    "io.containerd.cri.v1.runtime",
    "io.containerd.nri.v1.nri",  # would open /var/run/nri
    "io.containerd.internal.v1.opt",  # would make /opt/containerd
    "io.containerd.internal.v1.restart",  # restarting is our business
    "io.containerd.monitor.v1.cgroups",  # metrics that nobody reads; OOM events come from the shim
    "io.containerd.monitor.task.v1.cgroups",  # its name in 2.x
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
)


class ContainerdMissing(Exception):
    """There is no such program; the text says what to do."""


def prepared(root: Path, state: Path, socket: Path) -> list[str]:
    """The command that runs it; its folders and its file, in ``state``, are there.

    Raises ContainerdMissing, OSError.
    """
    binary = shutil.which("containerd")
    if binary is None:
        raise ContainerdMissing(
            "there is no containerd on PATH: install the package containerd (Debian, Ubuntu:"
            " apt install containerd; with Docker's repository: containerd.io)"
        )
    for folder in (root, state, socket.parent):
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    file = state / "config.toml"
    file.write_text(configuration(root, state, socket))
    return [binary, "--config", str(file)]


def configuration(root: Path, state: Path, socket: Path) -> str:
    """containerd's ``config.toml``, version 2, which 1.6, 1.7 and 2.x read."""
    unwanted = "".join(f"  {json.dumps(each)},\n" for each in _UNWANTED_PLUGINS)
    return f"""\
version = 2
root = {json.dumps(str(root))}
state = {json.dumps(str(state))}
disabled_plugins = [
{unwanted}]
required_plugins = ["io.containerd.grpc.v1.tasks"]

[grpc]
address = {json.dumps(str(socket))}

[debug]
level = "warn"
"""
