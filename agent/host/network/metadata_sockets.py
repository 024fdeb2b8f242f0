"""The listening sockets of the metadata endpoint: one in each sandbox, one for the host's network.

A socket is opened inside the namespace whose programs it answers, so it says by itself who asks.
Tasks in ``host`` mode share one on the host's loopback, which has the address only meanwhile, and
one on 127.0.0.1.
Sockets outlive the agent (``socketstore``); the next one serves them before anything else.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol, TypeVar

from agent.host.network.networkthread import NetworkThread
from agent.host.network.socketstore import SocketStore
from cni.kernel import loopback, portshare
from cni.kernel.loopback import METADATA_ADDRESS
from cni.runtime.chain import Runtime
from metadata.source import Owner

T = TypeVar("T")

METADATA_PORT = 80
BEHIND_PORT = 51679
"""Where the metadata sockets really listen: the one port a container can't have to itself, and what
the ECS agent uses on the host."""
LOOPBACK = IPv4Address("127.0.0.1")
"""Older AWS SDKs take credentials from a full address on the loopback only."""
_BEHIND = (str(METADATA_ADDRESS), BEHIND_PORT)
_ON_LOOPBACK = (str(LOOPBACK), BEHIND_PORT)
HOST_OWNER = Owner("host")
"""Owner of the sockets that all tasks in host mode share."""
_LOOPBACK_KEY = "host, loopback"


class MetadataDoor(Protocol):
    """Where metadata sockets are served (``metadata.listener.Listeners``)."""

    async def serve(self, sock: socket.socket, owner: Owner, key: str) -> None:
        """Serves the listening socket until closed; takes it over."""

    async def close(self, key: str) -> None:
        """Serves no more, and closes the socket; also when there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox whose programs are to be answered. ``netns`` is None on the host's network."""

    key: str
    owner: Owner
    netns: Path | None


@dataclass(frozen=True, slots=True)
class MetadataFront:
    """Where metadata sockets are served and kept, and the sandboxes (keys) taken up already."""

    door: MetadataDoor
    store: SocketStore
    in_sandbox: Set[str] = frozenset()
    on_host: Set[str] = frozenset()


async def taken_up(
    door: MetadataDoor, store: SocketStore, places: Iterable[Place]
) -> MetadataFront:
    """The sockets that an earlier agent left are served again, in these places only.

    All others are given up, also those that are not what their name says.
    """
    in_sandbox, on_host = set[str](), set[str]()
    for place in places:
        shared = place.netns is None
        key = HOST_OWNER if shared else place.key
        if not (shared and on_host):
            found = store.find(key, place.netns, _BEHIND)
            if found is None:
                continue
            await door.serve(found, place.owner, key)
        (on_host if shared else in_sandbox).add(place.key)
    await store.drop_all_but(in_sandbox | ({HOST_OWNER} if on_host else set()))
    return MetadataFront(door, store, in_sandbox, on_host)


class MetadataSockets:
    """Opens and closes them. ``key`` names a sandbox; ``table`` the nftables table of each."""

    def __init__(self, thread: NetworkThread, front: MetadataFront, table: str) -> None:
        self._thread = thread
        self._door = front.door
        self._store = front.store
        self._table = table
        self._served: set[str] = set()
        self._taken_up = set(front.in_sandbox)
        self._on_host = set(front.on_host)
        self._host_is_sure = False
        self._host_lock = asyncio.Lock()

    def serves(self, key: str) -> bool:
        """Whether the sandbox's metadata is answered, for sure.

        Of what was taken up, rules and address may be gone: it is to be served once more.
        """
        return key in self._served

    async def serve(self, key: str, owner: Owner, netns: Path) -> None:
        """The metadata of the sandbox with this namespace is answered. Raises OSError."""
        if key in self._served:
            return
        if key in self._taken_up:
            await self._inside(netns, portshare.restore)
        else:
            await self._door.serve(await self._listening(key, netns), owner, key)
        self._served.add(key)

    async def serve_on_host(self, key: str) -> None:
        """The metadata of a container on the host's network is answered.

        Raises OSError if another program has one of the addresses.
        """
        async with self._host_lock:
            if not self._host_is_sure:
                await self._make_sure_of_host()
            self._host_is_sure = True
            self._on_host.add(key)
        self._served.add(key)

    async def close(self, key: str) -> None:
        """The sandbox's socket is closed: it would keep the namespace alive."""
        self._served.discard(key)
        self._taken_up.discard(key)
        await self._door.close(key)
        await self._store.drop(key)

    async def leave_host(self, key: str) -> None:
        """Without containers on the host's network, its loopback has no metadata address."""
        self._served.discard(key)
        async with self._host_lock:
            if self._on_host == {key}:
                # While this fails the door stays open, for whoever joins meanwhile.
                await self._thread.run(lambda _: portshare.withdraw(METADATA_ADDRESS, self._table))
                self._host_is_sure = False
                await self._close_on_host()
            self._on_host.discard(key)

    async def _make_sure_of_host(self) -> None:
        """Both sockets of the host's network are served, also after a turn that was cut short."""
        if self._on_host:
            await self._inside(None, portshare.restore)
            await self._serve_on_loopback()
            return
        await self._serve_on_loopback()  # first, since that is what another agent may have
        try:
            await self._door.close(HOST_OWNER)
            await self._door.serve(await self._listening(HOST_OWNER, None), HOST_OWNER, HOST_OWNER)
        except OSError:
            await self._close_on_host()
            raise

    async def _serve_on_loopback(self) -> None:
        await self._door.close(_LOOPBACK_KEY)
        found = self._store.find(HOST_OWNER, None, _ON_LOOPBACK)
        if found is None:
            found = await self._thread.run(lambda _: _listen_on_loopback())
            await self._store.keep(HOST_OWNER, found)
        await self._door.serve(found, HOST_OWNER, _LOOPBACK_KEY)

    async def _close_on_host(self) -> None:
        await self._door.close(HOST_OWNER)
        await self._door.close(_LOOPBACK_KEY)
        await self._store.drop(HOST_OWNER)

    async def _listening(self, key: str, netns: Path | None) -> socket.socket:
        """The sandbox's socket: the one that is kept, after a turn that was cut short, or new."""
        found = self._store.find(key, netns, _BEHIND)
        if found is None:
            found = await self._inside(netns, portshare.listen)
            await self._store.keep(key, found)
        return found

    async def _inside(
        self, netns: Path | None, work: Callable[[IPv4Address, int, int, str], T]
    ) -> T:
        def there(runtime: Runtime) -> T:
            return runtime.context.namespaces.call(
                netns, lambda: work(METADATA_ADDRESS, METADATA_PORT, BEHIND_PORT, self._table)
            )

        return await self._thread.run(there)


def _listen_on_loopback() -> socket.socket:
    try:
        return loopback.listen_on(LOOPBACK, BEHIND_PORT)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            f"{LOOPBACK}:{BEHIND_PORT}, where tasks in host mode ask for credentials, is taken: "
            "does another agent run, Hostler's or Amazon's?"
        ) from error
