"""The control API over HTTP: ECS's AWS JSON 1.1 protocol on a unix socket.

A call is ``POST /`` with its name in ``X-Amz-Target``; ECS's own carry ECS's prefix, Hostler's few
others ``Hostler.``. Who may call is decided by the kernel's word on the caller (``SO_PEERCRED``):
root and the user that the agent runs as.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from agent.containerd.errors import ContainerdError
from agent.doors import extensions, operations
from agent.doors.errors import (
    AccessDenied,
    ApiError,
    SerializationError,
    ServerFailure,
    UnknownOperation,
)
from agent.engine.store import StoreError

ECS_PREFIX = "AmazonEC2ContainerServiceV20141113."
OUR_PREFIX = "Hostler."
MAX_BODY = 1024 * 1024

_CREDENTIALS = struct.Struct("iII")


class Api:
    """The HTTP side of the calls. ``desk`` is what ECS's work with, ``office`` Hostler's."""

    def __init__(self, desk: operations.Desk, office: extensions.Office) -> None:
        self._desk = desk
        self._office = office

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Answers calls on the unix socket ``path``, readable by its owner only, until left."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/", self._call)
        app.router.add_post("/images", self._load_image)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, auto_decompress=False
        )
        await runner.setup()
        try:
            await web.SockSite(runner, _listening(path)).start()
            yield
        finally:
            await runner.cleanup()
            _remove(path)

    async def _call(self, request: web.Request) -> web.Response:
        return await _answered(request, self._result)

    async def _load_image(self, request: web.Request) -> web.Response:
        return await _answered(request, self._loaded)

    async def _result(self, request: web.Request) -> dict[str, Any]:
        target = request.headers.get("X-Amz-Target", "")
        body = await _body(request)
        ours = extensions.CALLS.get(target.removeprefix(OUR_PREFIX))
        if target.startswith(OUR_PREFIX) and ours is not None:
            return await ours(self._desk, self._office, body)
        call = operations.CALLS.get(target.removeprefix(ECS_PREFIX))
        if not target.startswith(ECS_PREFIX) or call is None:
            name = target.rpartition(".")[2] or "a call without X-Amz-Target"
            raise UnknownOperation(f"{name} is not served")
        return await call(self._desk, body)

    async def _loaded(self, request: web.Request) -> dict[str, Any]:
        return await extensions.load_image(self._office, request.content.iter_any())


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


async def _answered(
    request: web.Request, serve: Callable[[web.Request], Awaitable[dict[str, Any]]]
) -> web.Response:
    """What ``serve`` says, or why it can't, in the protocol's words."""
    try:
        _check_caller(request)
        return _answer(await serve(request))
    except ApiError as error:
        return _refusal(error)
    except (StoreError, ContainerdError, OSError) as error:
        return _refusal(ServerFailure(str(error)))


def _check_caller(request: web.Request) -> None:
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        raise AccessDenied("the connection is gone")
    size = _CREDENTIALS.size
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (0, os.geteuid()):
        raise AccessDenied(f"user {uid} may not use this agent: call it as root")


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}", parse_constant=_no_number)
        # Half a surrogate pair is JSON, but no text: it could be neither stored nor passed on.
        json.dumps(body, ensure_ascii=False).encode()
    except web.HTTPRequestEntityTooLarge as error:
        raise SerializationError(f"the request has more than {MAX_BODY} bytes") from error
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"the request is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise SerializationError("the request is not a JSON object")
    return body


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _answer(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(),
        status=status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )


def _refusal(error: ApiError) -> web.Response:
    return _answer({"__type": error.code, "message": str(error)}, error.status)
