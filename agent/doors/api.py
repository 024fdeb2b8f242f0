"""The control API over HTTP: ECS's AWS JSON 1.1 protocol, the same behind every door.

A call is ``POST /`` with its name in ``X-Amz-Target``; ECS's own carry ECS's prefix, Hostler's few
others ``Hostler.``. Who may call is decided by the door (``unix``, ``tcp``), before anything else.
"""

from __future__ import annotations

import json
import logging
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agent.containerd.errors import ContainerdError
from agent.doors import definitions, extensions, instances, protection, requests, tasks
from agent.doors.desk import Desk
from agent.doors.errors import ApiError, SerializationError, ServerFailure, UnknownOperation
from agent.doors.images import traffic
from agent.doors.images.room import canonical
from agent.engine.store import StoreError
from agent.host.images.local import ImageMissing
from agent.registry.archives.writing import WriteError

log = logging.getLogger(__name__)

ECS_PREFIX = "AmazonEC2ContainerServiceV20141113."
OUR_PREFIX = "Hostler."
ECS_CALLS = {
    **definitions.CALLS,
    **tasks.CALLS,
    **protection.CALLS,
    **instances.CALLS,
}
MAX_BODY = 1024 * 1024


class Door(Protocol):
    """A way in: a listening socket, and who may use it."""

    @property
    def socket(self) -> socket.socket:
        """Where calls come in."""

    async def admit(self, request: web.Request) -> None:
        """Raises ApiError unless the caller may make calls."""

    def close(self) -> None:
        """Nothing is left of it."""


class Api:
    """The HTTP side of the calls. ``desk`` is what ECS's work with, ``office`` Hostler's."""

    def __init__(self, desk: Desk, office: extensions.Office) -> None:
        self._desk = desk
        self._office = office

    @asynccontextmanager
    async def serving(self, *doors: Door) -> AsyncIterator[None]:
        """Answers calls that come through the doors until left, which closes the doors."""
        async with AsyncExitStack() as stack:
            for door in doors:
                stack.callback(door.close)
            for door in doors:
                await stack.enter_async_context(self._served(door))
            yield

    @asynccontextmanager
    async def _served(self, door: Door) -> AsyncIterator[None]:
        app = web.Application(
            client_max_size=MAX_BODY, middlewares=[_in_the_protocols_words, _through(door)]
        )
        app.router.add_post("/", self._call)
        app.router.add_post("/images", self._load_image)
        app.router.add_post("/images/pull", self._pull_image)
        app.router.add_get("/images/save", self._save_images)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, auto_decompress=False
        )
        await runner.setup()
        try:
            await web.SockSite(runner, door.socket).start()
            yield
        finally:
            await runner.cleanup()

    async def answer(self, target: str, content: bytes) -> dict[str, Any]:
        """What the call ``target`` (X-Amz-Target) with this body gives.

        Raises ApiError; StoreError, ContainerdError, OSError where the agent can't do it.
        """
        body = _read(content)
        ours = extensions.CALLS.get(target.removeprefix(OUR_PREFIX))
        if target.startswith(OUR_PREFIX) and ours is not None:
            return await ours(self._desk, self._office, body)
        call = ECS_CALLS.get(target.removeprefix(ECS_PREFIX))
        if not target.startswith(ECS_PREFIX) or call is None:
            name = target.rpartition(".")[2] or "a call without X-Amz-Target"
            raise UnknownOperation(f"{name} is not served")
        return await call(self._desk, body)

    async def _call(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        return _answer(await self.answer(target, await request.read()))

    async def _load_image(self, request: web.Request) -> web.Response:
        return _answer(await traffic.load_image(self._office.images, request.content.iter_any()))

    async def _pull_image(self, request: web.Request) -> web.StreamResponse:
        """Answers with a line of JSON now and then; the last one is what came of it."""
        asked = requests.read(requests.NamedImage, _read(await request.read()))
        name = canonical(asked.image)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)

        async def tell(told: dict[str, Any]) -> None:
            await answer.write(json.dumps(told).encode() + b"\n")

        await traffic.pull_image(self._office.images, name, tell)
        return answer

    async def _save_images(self, request: web.Request) -> web.StreamResponse:
        names = request.query.getall("name", [])
        async with aclosing(await traffic.save_images(self._office.images, names)) as chunks:
            answer = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
            await answer.prepare(request)
            try:
                async for chunk in chunks:
                    await answer.write(chunk)
            except (ImageMissing, ContainerdError, WriteError) as error:
                log.warning("images could not be saved to their end: %s", error)
                if request.transport is not None:
                    request.transport.close()  # what came is not to pass for the whole
            return answer


def _through(door: Door) -> Middleware:
    """Whoever the door turns away learns nothing of what is behind: not even what is served."""

    @web.middleware
    async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
        await door.admit(request)
        return await handler(request)

    return admitted


@web.middleware
async def _in_the_protocols_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return _refusal(error)
    except web.HTTPRequestEntityTooLarge:
        return _refusal(SerializationError(f"the request has more than {MAX_BODY} bytes"))
    except (StoreError, ContainerdError, OSError) as error:
        return _refusal(ServerFailure(str(error)))


def _read(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content or b"{}", parse_constant=_no_number)
        # Half a surrogate pair is JSON, but no text: it could be neither stored nor passed on.
        json.dumps(body, ensure_ascii=False).encode()
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
