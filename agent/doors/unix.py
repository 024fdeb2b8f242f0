"""The door for this host's administrators: a unix socket. The kernel says who calls there.

Root is let in, the user that the agent runs as (``SO_PEERCRED``, unix(7)), and whoever is in the
group of the door, if it has one and the host knows it (``SO_PEERGROUPS``, socket(7)). Who is let in
may do what root may: a task can mount any folder of the host.
"""

from __future__ import annotations

import grp
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from agent.doors.errors import AccessDenied

GROUP = "hostler"
"""Whose members may use the API: see ``systemd/sysusers.d``."""

_CREDENTIALS = struct.Struct("iII")
_PEERGROUPS = 59
"""SO_PEERGROUPS, which Python does not name."""
_MOST_BYTES = 1024
"""That Python asks for: 256 groups."""


class UnixDoor:
    """A listening socket at ``path``, for its owner only, or for ``group`` as well.

    A group that this host does not have changes nothing. Blocking. Raises OSError.
    """

    def __init__(self, path: Path, group: str | None = None) -> None:
        self._path = path
        self._gid = _gid(group)
        self.socket = _listening(path, self._gid)

    def __str__(self) -> str:
        return str(self._path)

    async def admit(self, request: web.Request) -> None:
        """Raises AccessDenied unless the caller is root, the agent's own user, or in the group."""
        peer = request.transport.get_extra_info("socket") if request.transport else None
        if peer is None:
            raise AccessDenied("the connection is gone")
        told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, gid = _CREDENTIALS.unpack(told)
        if uid in (0, os.geteuid()) or self._gid in (gid, *_groups(peer)):
            return
        raise AccessDenied(f"user {uid} may not use this agent: call it as root")

    def close(self) -> None:
        """Nothing is left of it."""
        self.socket.close()
        _remove(self._path)


def _gid(group: str | None) -> int | None:
    try:
        return None if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _groups(peer: socket.socket) -> tuple[int, ...]:
    """The caller's supplementary groups; none if the kernel doesn't tell, or of too many."""
    try:
        told = peer.getsockopt(socket.SOL_SOCKET, _PEERGROUPS, _MOST_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"{len(told) // 4}I", told)


def _listening(path: Path, gid: int | None) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        if gid is not None:
            os.chown(path, -1, gid)
        path.chmod(0o600 if gid is None else 0o660)
    except OSError:
        listening.close()
        raise
    listening.listen(128)  # not before: until then nobody can connect
    return listening


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
