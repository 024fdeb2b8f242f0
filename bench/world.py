"""What the peers share: a scratch directory, the image in all its forms, one containerd, accounts.

``ctr``, the bare client and Hostler use the same containerd, each with containers of its own;
Docker and podman bring their own stores.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.registry import hello
from agent.registry.archives import archive
from bench.accounts import Account, open_account

NAMESPACE = "bench"
"""containerd's namespace of ctr and of the bare client; Hostler has its own."""

IMAGE = "hostler-bench/hello"
"""The image's name in Docker and podman, which prefix none for what is local."""

SLEEPER = ("sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait")
"""Runs until SIGTERM and then ends at once: as process 1, ``sleep`` itself would ignore it."""

QUITTER = ("true",)

READY_S = 10.0
_LOOK_AGAIN_S = 0.002


@dataclass(frozen=True, slots=True)
class World:
    """``layer``: the image's one layer, a tar file. ``containerd``: the account of that daemon."""

    scratch: Path
    layer: Path
    socket: Path
    client: Containerd
    containerd: Account

    def account(self, name: str) -> Account:
        """The CPU account of this name."""
        return open_account(self.scratch.name, name)

    def entered(self, name: str) -> Account:
        """The same, and what this process does and starts from now on is counted there."""
        account = self.account(name)
        account.enter(os.getpid())
        return account


@asynccontextmanager
async def open_world(scratch: Path) -> AsyncIterator[World]:
    """A running containerd and the image's layer, in ``scratch``."""
    layer = _layer(scratch)
    account = open_account(scratch.name, "containerd")
    account.enter(os.getpid())
    folder = scratch / "containerd"
    containerd = EmbeddedContainerd(folder / "root", folder / "state", folder / "c.sock")
    await containerd.start()
    try:
        async with Containerd(containerd.socket, NAMESPACE) as client:
            await client.namespaces.ensure(NAMESPACE)
            yield World(scratch, layer, containerd.socket, client, account)
    finally:
        await containerd.stop()


async def ready(account: Account, count: int) -> None:
    """So many sleepers of the account would hear SIGTERM: each has come as far as its ``sleep``.

    Before that, the signal would be lost on a process 1. Raises TimeoutError.
    """
    async with asyncio.timeout(READY_S):
        while account.running("sleep") < count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_LOOK_AGAIN_S)


def extract(layer: Path, target: Path) -> None:
    """The layer's files are in the new directory ``target``."""
    target.mkdir(parents=True)
    with tarfile.open(layer) as tar:
        tar.extractall(target, filter="tar")


def _layer(scratch: Path) -> Path:
    built = scratch / "hello.tar"
    built.write_bytes(hello.build(hello.find_busybox()))
    layer = scratch / "layer.tar"
    with built.open("rb") as file, archive.Archive(file, architecture()) as opened:
        layer.write_bytes(b"".join(opened.blob(opened.images[0].layers[0])))
    return layer


def architecture() -> str:
    """This machine's, by Go's name."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
