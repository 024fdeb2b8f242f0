"""Counts the answers of all doors, by route and status code, within bounds.

What is counted may be asked for by a container's own program, so nothing of a path is kept but the
words that routes are made of.
"""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from aiohttp import web

from metadata.front.listener import Handler

OTHER: Final = "other"
_ID: Final = "<id>"

_DEEPEST: Final[Mapping[str, tuple[str, ...]]] = {
    "v1": ("credentials",),
    "v2": ("credentials", "metadata", "metadataWithTags", "stats"),
    "v3": ("", "task", "taskWithTags", "stats", "task/stats", "associations"),
    "v4": ("", "task", "taskWithTags", "stats", "task/stats", "associations"),
    "api": ("task-protection", "fault"),
}
"""By the first word of a path: what may follow, behind the endpoint id where there is one."""

_OPEN: Final = ("credentials", "metadata", "stats", "associations", "task-protection", "fault")
"""Words that ids, names or operations may follow."""
_IDENTIFIED: Final = ("v3", "v4", "api")


@lru_cache(maxsize=256)
def route_of(path: str) -> str:
    """The route that a path is about, without any id or name; `OTHER` for what is none."""
    first, _, rest = path.removeprefix("/").partition("/")
    endpoint = ""
    if first in _IDENTIFIED:
        endpoint, _, rest = rest.partition("/")
    for known in _DEEPEST.get(first, ()):
        if rest == known or (known in _OPEN and rest.startswith(f"{known}/")):
            return "/" + "/".join(each for each in (first, endpoint and _ID, known) if each)
    return OTHER


class Tally:
    """How often each route was answered with each code, since the agent started."""

    def __init__(self) -> None:
        self._counted: Counter[tuple[str, int]] = Counter()

    def counting(self, handler: Handler) -> Handler:
        """The same handler, each of whose answers is counted."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = await handler(request)
            self._counted[route_of(request.path), response.status] += 1
            return response

        return answer

    @property
    def counted(self) -> Mapping[tuple[str, int], int]:
        """The counts so far, by route and code: a copy."""
        return dict(self._counted)
