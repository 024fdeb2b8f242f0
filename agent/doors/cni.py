"""The door for plugins' executables: they hand their calls to the agent, which has all loaded.

What is spoken there is told in `cni.program.launch`. Only root is let in.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from agent.doors.unix import UnixDoor
from cni import formats
from cni.errors import CNIError, Code
from cni.program import serve
from cni.program.skel import OpenContext, Outcome

_CREDENTIALS: Final = struct.Struct("iII")
_LIMIT: Final = 1 << 20  # bytes of a request; a configuration has a few thousand
_READ_S: Final = 5.0
_DEADLINE_S: Final = 80.0  # less than the executables wait

Call = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a function in the thread of the plugins' context."""


class PluginServer:
    """Listens at ``path`` while it is entered; one call is done after the other."""

    def __init__(self, path: Path, call: Call, open_context: OpenContext) -> None:
        self._path = path
        self._call = call
        self._open_context = open_context

    async def __aenter__(self) -> Self:
        """Raises OSError."""
        self._door = UnixDoor(self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=self._door.socket)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is left of it; what has been begun is done."""
        self._server.close()
        self._door.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A caller that goes away or sends nonsense gets no answer, and then works by itself.
        try:
            pid, uid = _peer(writer)
            async with asyncio.timeout(_READ_S):
                length = int.from_bytes(await reader.readexactly(4), "big")
                if uid != 0 or length > _LIMIT:
                    return
                request = await reader.readexactly(length)
            answer = await self._answer(request, pid)
            writer.write(len(answer).to_bytes(4, "big") + answer)
            async with asyncio.timeout(_READ_S):
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):  # TimeoutError is one
            return
        finally:
            writer.close()

    async def _answer(self, request: bytes, pid: int) -> bytes:
        work = partial(serve.answer, request, pid, self._open_context)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await self._call(work)
        except TimeoutError:
            msg = f"the agent did not do it within {_DEADLINE_S:g} s"
            error = formats.write_error(CNIError(Code.TRY_AGAIN_LATER, msg), "1.1.0")
            return serve.packed(Outcome(1, formats.encode(error) + b"\n"))


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Process and user of the other side."""
    connection = writer.get_extra_info("socket")
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return pid, uid
