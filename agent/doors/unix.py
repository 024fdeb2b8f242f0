"""The door for this host's administrators: a unix socket. The kernel says who calls there.

Root is let in, and the user that the agent runs as (``SO_PEERCRED``, unix(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from agent.doors.errors import AccessDenied

_CREDENTIALS = struct.Struct("iII")


class UnixDoor:
    """A listening socket at ``path``, readable by its owner only. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.socket = _listening(path)

    def __str__(self) -> str:
        return str(self._path)

    async def admit(self, request: web.Request) -> None:
        """Raises AccessDenied unless the caller is root or the agent's own user."""
        peer = request.transport.get_extra_info("socket") if request.transport else None
        if peer is None:
            raise AccessDenied("the connection is gone")
        told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(told)
        if uid not in (0, os.geteuid()):
            raise AccessDenied(f"user {uid} may not use this agent: call it as root")

    def close(self) -> None:
        """Nothing is left of it."""
        self.socket.close()
        _remove(self._path)


def _listening(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(mask)
    listening.listen(128)
    return listening


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
