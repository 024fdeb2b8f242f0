"""What other tools unpack from an image in a registry, mounted to be read."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.containerd_daemon import DaemonPaths

DEADLINE_S = 100.0

# podman notes, for all its stores, which registry has which blob: not on this host, not now.
_CACHE = "/var/lib/containers"
_HIDE = f'mkdir -p {_CACHE} && mount -t tmpfs none {_CACHE} && exec "$@"'
_AMNESIA = ("unshare", "--mount", "sh", "-c", _HIDE, "sh")


def by_ctr(daemon: DaemonPaths, reference: str, namespace: str) -> None:
    """containerd has pulled and unpacked the image, in a namespace for this alone."""
    ctr = ("ctr", "--address", str(daemon.socket), "--namespace", namespace)
    _run(*ctr, "images", "pull", "--plain-http", reference)


@contextmanager
def mounted_by_ctr(daemon: DaemonPaths, reference: str, namespace: str) -> Iterator[Path]:
    """The root file system of an image that is unpacked in containerd; gone at the end."""
    ctr = ("ctr", "--address", str(daemon.socket), "--namespace", namespace)
    with tempfile.TemporaryDirectory(prefix="hostler-m-") as folder:
        _run(*ctr, "images", "mount", reference, folder)
        try:
            yield Path(folder)
        finally:
            _run(*ctr, "images", "unmount", "--rm", folder)


@contextmanager
def mounted_by_podman(reference: str) -> Iterator[Path]:
    """The same by a podman with a store of its own, which is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="hostler-p-") as folder:
        podman = (
            *("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run"),
            *("--tmpdir", f"{folder}/tmp", "--storage-driver", "overlay"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
        )
        try:
            _run(*_AMNESIA, *podman, "pull", "--quiet", "--tls-verify=false", reference)
            yield Path(_run(*podman, "image", "mount", reference).strip())
        finally:
            _unmount_below(folder)


def _unmount_below(folder: str) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed(points):
        if point.startswith(f"{folder}/"):
            _run("umount", point)


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr}"
    return ran.stdout
