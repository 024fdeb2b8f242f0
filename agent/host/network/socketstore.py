"""The listening sockets that outlive an agent, so that nobody who asks meanwhile is refused.

The kernel takes connections for a listening socket for as long as anybody has it open. So each is
given to the service manager as well, which passes it to the next agent (sd_notify(3), FDSTORE), and
an agent that executes its successor passes it on by itself. A socket keeps its namespace alive:
what is given up must be dropped here first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from agent.service import notify
from agent.service.handover import Named
from cni.kernel import netns

Address = tuple[str, int]

_NAME_DIGITS = 20
"""Enough to tell sandboxes apart; with more, thousands of names would not fit in one variable."""

log = logging.getLogger(__name__)


class SocketStore:
    """Holds a duplicate of each socket, by the key of a sandbox, which may have several.

    ``inherited`` are those of the agent before; it takes them over.
    """

    def __init__(self, inherited: Iterable[Named] = ()) -> None:
        self._held: dict[str, list[socket.socket]] = {}
        for each in inherited:
            self._held.setdefault(each.name, []).append(each.socket)

    @property
    def held(self) -> list[Named]:
        """All that would be handed to a successor."""
        return [Named(name, each) for name, every in self._held.items() for each in every]

    def find(self, key: str, path: Path | None, address: Address) -> socket.socket | None:
        """A duplicate of the sandbox's socket that listens there; None if none is held.

        Only one that belongs to the network namespace at ``path``, or to the agent's own, will do:
        whoever asks is known by the socket alone.
        """
        for each in self._held.get(_name(key), ()):
            if _listens(each, address) and netns.holds(path, each):
                return each.dup()
        return None

    async def keep(self, key: str, sock: socket.socket) -> None:
        """The socket stays open whatever becomes of the agent, as far as somebody keeps it."""
        name, duplicate = _name(key), sock.dup()
        self._held.setdefault(name, []).append(duplicate)
        if notify.asked():
            try:
                await asyncio.to_thread(notify.store, name, duplicate)
            except OSError as error:
                log.debug("nobody keeps socket %s: %s", name, error)

    async def drop(self, key: str) -> None:
        """None of the sandbox's sockets is held by anybody; also when none was."""
        await self._drop(_name(key))

    async def drop_all_but(self, keys: Collection[str]) -> None:
        """None is held of any other sandbox."""
        for name in self._held.keys() - set(map(_name, keys)):
            log.info("nobody is served at socket %s any more", name or "without a name")
            await self._drop(name)

    def close(self) -> None:
        """The duplicates are closed; what a service manager keeps stays."""
        for each in self.held:
            each.socket.close()
        self._held.clear()

    async def _drop(self, name: str) -> None:
        held = self._held.pop(name, [])
        try:
            if held and notify.asked():
                await asyncio.to_thread(notify.remove_stored, name)
        except OSError as error:
            log.debug("nobody keeps socket %s: %s", name, error)
        finally:
            for each in held:
                each.close()


def _name(key: str) -> str:
    return key[:_NAME_DIGITS]


def _listens(sock: socket.socket, address: Address) -> bool:
    with suppress(OSError):
        if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM:
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return bool(listening) and sock.getsockname() == address
    return False
