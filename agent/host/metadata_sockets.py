"""The listening sockets of the metadata endpoint: one in each sandbox, one for the host's network.

A socket is opened inside the namespace whose programs it answers, so it says by itself who asks.
Tasks in ``host`` mode share one on the host's loopback, which has the address only meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Protocol

from agent.host.networkthread import NetworkThread
from cni.kernel import portshare
from cni.kernel.loopback import METADATA_ADDRESS
from cni.runtime.chain import Runtime
from metadata.source import Owner

METADATA_PORT = 80
BEHIND_PORT = 51679
"""Where the metadata sockets really listen: the one port a container can't have to itself, and what
the ECS agent uses on the host."""
HOST_OWNER = Owner("host")
"""Owner of the socket that all tasks in host mode share."""


class MetadataDoor(Protocol):
    """Where metadata sockets are served (``metadata.listener.Listeners``)."""

    async def serve(self, sock: socket.socket, owner: Owner, key: str) -> None:
        """Serves the listening socket until closed; takes it over."""

    async def close(self, key: str) -> None:
        """Serves no more, and closes the socket; also when there is none."""


class MetadataSockets:
    """Opens and closes them. ``key`` names a sandbox; ``table`` the nftables table of each."""

    def __init__(self, thread: NetworkThread, door: MetadataDoor, table: str) -> None:
        self._thread = thread
        self._door = door
        self._table = table
        self._served: set[str] = set()
        self._on_host: set[str] = set()
        self._host_lock = asyncio.Lock()

    def serves(self, key: str) -> bool:
        """Whether the sandbox's metadata is answered."""
        return key in self._served

    async def serve(self, key: str, owner: Owner, netns: Path) -> None:
        """The metadata of the sandbox with this namespace is answered. Raises OSError."""
        if key in self._served:
            return
        await self._door.serve(await self._listen(netns), owner, key)
        self._served.add(key)

    async def serve_on_host(self, key: str) -> None:
        """The metadata of a container on the host's network is answered.

        Raises OSError if another program has the address.
        """
        async with self._host_lock:
            if not self._on_host:
                await self._door.serve(await self._listen(None), HOST_OWNER, HOST_OWNER)
            self._on_host.add(key)
        self._served.add(key)

    async def close(self, key: str) -> None:
        """The sandbox's socket is closed: it would keep the namespace alive."""
        self._served.discard(key)
        await self._door.close(key)

    async def leave_host(self, key: str) -> None:
        """Without containers on the host's network, its loopback has no metadata address."""
        self._served.discard(key)
        async with self._host_lock:
            if self._on_host == {key}:
                # While this fails the door stays open, for whoever joins meanwhile.
                await self._thread.run(lambda _: portshare.withdraw(METADATA_ADDRESS, self._table))
                await self._door.close(HOST_OWNER)
            self._on_host.discard(key)

    async def _listen(self, netns: Path | None) -> socket.socket:
        def listen(runtime: Runtime) -> socket.socket:
            return runtime.context.namespaces.call(
                netns,
                lambda: portshare.listen(METADATA_ADDRESS, METADATA_PORT, BEHIND_PORT, self._table),
            )

        return await self._thread.run(listen)
