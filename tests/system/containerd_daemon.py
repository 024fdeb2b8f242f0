"""A real containerd for tests: private, started once, with a tiny image made from busybox.

Nothing comes from the network. ``conftest`` offers the daemon as a fixture; tests of other
parts may use it and the builders here.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.containerd.errors import AlreadyExists
from agent.containerd.types import (
    GC_ROOT_LABEL,
    GROUP_ANNOTATION,
    ContainerRecord,
    Descriptor,
    Image,
)

IMAGE = "localhost/busybox:test"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_BUSYBOX = Path("/bin/busybox")
_APPLETS = ("sh", "sleep", "true", "cat", "echo", "kill", "trap", "tail", "head")
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


@dataclass(frozen=True, slots=True)
class DaemonPaths:
    """Where a private containerd lives."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "c.sock"

    def embedded(self) -> EmbeddedContainerd:
        """A handle on the daemon for the event loop that runs now; ``start`` finds it."""
        return EmbeddedContainerd(self.folder / "root", self.folder / "state", self.socket)


@contextmanager
def private_containerd() -> Iterator[DaemonPaths]:
    """A containerd of its own; afterwards it, its shims, its mounts and files are gone."""
    # A short path: a unix socket's has at most 107 bytes.
    paths = DaemonPaths(Path(tempfile.mkdtemp(prefix="hostler-c-")))
    try:
        asyncio.run(_start(paths))
        yield paths
    finally:
        asyncio.run(_stop(paths))
        _remove_leftovers(paths)
        shutil.rmtree(paths.folder)


async def _start(paths: DaemonPaths) -> None:
    daemon = paths.embedded()
    await daemon.start()
    daemon.release()


async def _stop(paths: DaemonPaths) -> None:
    daemon = paths.embedded()
    await daemon.stop()
    daemon.release()


def shims(paths: DaemonPaths) -> list[psutil.Process]:
    """The shims of this daemon's containers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "containerd-shim" in " ".join(command[:1]) and str(paths.socket) in command:
            found.append(process)
    return found


def _remove_leftovers(paths: DaemonPaths) -> None:
    """What a failed test left: shims with their containers, and mounts."""
    for shim in shims(paths):
        for each in [*shim.children(recursive=True), shim]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = line.split()[1]
        if target.startswith(f"{paths.folder}/"):
            subprocess.run(["umount", "--lazy", target], check=True)


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


async def put(client: Containerd, data: bytes, media_type: str) -> Descriptor:
    """Write a blob, kept by a gc.root label."""
    digest = digest_of(data)
    labels = {GC_ROOT_LABEL: "test"}
    await client.content.write(
        f"put-{digest}", one_chunk(data), size=len(data), digest=digest, labels=labels
    )
    return Descriptor(media_type, digest, len(data))


def busybox_layer() -> bytes:
    """An uncompressed layer: busybox, its applets, and the folders that a container needs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        program = _BUSYBOX.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


async def busybox_image(client: Containerd, command: tuple[str, ...] = ("/bin/sh",)) -> str:
    """Make and unpack the image ``IMAGE``; gives the committed snapshot's name (its chain id)."""
    tar = busybox_layer()
    chain = digest_of(tar)
    layer = await put(client, gzip.compress(tar, mtime=0), _LAYER_TYPE)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [chain]},
    }
    config_blob = await put(client, json.dumps(config).encode(), _CONFIG_TYPE)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": _json(config_blob),
        "layers": [_json(layer)],
    }
    target = await put(client, json.dumps(manifest).encode(), _MANIFEST_TYPE)
    await client.images.create_or_update(Image(IMAGE, target))
    held = {GC_ROOT_LABEL: "test"}
    try:
        mounts = await client.snapshots.prepare("unpacking", labels=held)
        applied = await client.diff.apply(layer, mounts)
        assert applied.digest == chain
        await client.snapshots.commit(chain, "unpacking", labels=held)
    except AlreadyExists:
        await client.snapshots.remove("unpacking")
    return chain


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


def process_spec(*args: str) -> dict[str, Any]:
    """An OCI process: root, no capabilities but what it takes to signal its own."""
    return {
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": ["PATH=/bin"],
        "cwd": "/",
        "capabilities": {},
    }


def runtime_spec(cgroup: str, *args: str, group: str = "", memory: int = 0) -> bytes:
    """A small OCI runtime spec; with ``group``, its shim is shared with others of that group."""
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process_spec(*args),
        "root": {"path": "rootfs"},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": each} for each in _NAMESPACES],
            "resources": {"memory": {"limit": memory}} if memory else {},
        },
    }
    if group:
        spec["annotations"] = {GROUP_ANNOTATION: group}
    return json.dumps(spec).encode()


async def make_container(
    client: Containerd, chain: str, container_id: str, *args: str, group: str = "", memory: int = 0
) -> None:
    """A container record with a root file system of its own; no task yet."""
    await client.snapshots.prepare(container_id, chain, labels={GC_ROOT_LABEL: "test"})
    cgroup = f"/{client.namespace}/{container_id}"
    await client.containers.create(
        ContainerRecord(
            id=container_id,
            spec=runtime_spec(cgroup, *args, group=group, memory=memory),
            image=IMAGE,
            snapshotter=client.snapshotter,
            snapshot_key=container_id,
        )
    )


async def run_container(
    client: Containerd, chain: str, container_id: str, *args: str, group: str = ""
) -> int:
    """A started container; gives its pid."""
    await make_container(client, chain, container_id, *args, group=group)
    await client.tasks.create(container_id, await client.snapshots.mounts(container_id))
    return await client.tasks.start(container_id)
