"""Answers the requests that come in on one owner's socket.

Here: HTTP, isolation of owners, and keeping encoded answers. Which routes there are is in
`routes`, what they show in `render` and `stats`; sockets are the business of `listener`.

Errors are bare JSON strings and any HTTP method will do, as on ECS. Encoded metadata is kept for
as long as the agent hands out the same facts, so most requests are a look-up.
"""

import json
import posixpath
import re
from urllib.parse import quote

from aiohttp import web

from metadata.render import NotYetKnown
from metadata.routes import ROUTES, MetadataRoute, StatsRoute
from metadata.sampler import Sampler
from metadata.shapes import Json
from metadata.source import ContainerFacts, Owner, Source, TaskFacts

# Naming ourselves replaces aiohttp's default, which tells containers our library versions.
_HEADERS = {"Server": "hostler"}
_JSON = {**_HEADERS, "Content-Type": "application/json"}
_TEXT = {**_HEADERS, "Content-Type": "text/plain; charset=utf-8"}

_PATH = re.compile(r"/(v[34])/([^/]*)(.*)", re.DOTALL)
_KEPT_ANSWERS = 256  # some dozens of containers behind one socket; then it starts afresh


class Door:
    """The request handler of one listening socket: all it shows belongs to the socket's owner."""

    def __init__(self, owner: Owner, source: Source, sampler: Sampler) -> None:
        self._owner = owner
        self._source = source
        self._sampler = sampler
        self._kept: dict[str, tuple[TaskFacts, bytes]] = {}  # by path

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request; whatever a container may send, it is one of the codes."""
        path = request.path
        cleaned = _cleaned(path)
        if cleaned != path:
            return _moved(cleaned, request.rel_url.raw_query_string)
        match = _PATH.fullmatch(path)
        route = ROUTES.get((match[1], match[3])) if match else None
        if match is None or route is None:
            return web.Response(status=404, body=b"404 page not found\n", headers=_TEXT)
        return await self._answer(route, path, endpoint_id=match[2])

    async def _answer(
        self, route: MetadataRoute | StatsRoute, path: str, endpoint_id: str
    ) -> web.Response:
        task = self._source.task(self._owner, endpoint_id)
        container = None if task is None else task.container(endpoint_id)
        if task is None or container is None or task.owner != self._owner:
            reason = f"{route.subject} handler: no container has the id {endpoint_id!r}"
            return _error(route.unknown_status, reason)
        try:
            if isinstance(route, MetadataRoute):
                body = self._metadata(route, path, task, container)
            else:
                body = _encoded(await route.show(self._sampler, task, container))
        except NotYetKnown as error:
            return _error(route.failed_status, str(error))
        return web.Response(body=body, headers=_JSON)

    def _metadata(
        self, route: MetadataRoute, path: str, task: TaskFacts, container: ContainerFacts
    ) -> bytes:
        kept = self._kept.get(path)
        if kept is not None and kept[0] is task:
            return kept[1]
        body = _encoded(route.show(task, container))
        if len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
        self._kept[path] = task, body
        return body


def _encoded(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _error(status: int, reason: str) -> web.Response:
    return web.Response(status=status, body=_encoded(reason), headers=_JSON)


def _moved(path: str, query: str) -> web.Response:
    location = quote(path) + (f"?{query}" if query else "")
    return web.Response(status=301, headers={**_TEXT, "Location": location})


def _cleaned(path: str) -> str:
    """Without empty, `.` and `..` segments; a slash at the end stays."""
    if not path.startswith("/") or ("//" not in path and "/." not in path):
        return path
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
