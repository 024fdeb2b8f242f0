"""The room of versions 3 and 4: finds whom a path is about, and shows what its route shows.

Errors are bare JSON strings. Encoded metadata is kept for as long as the agent hands out the same
facts, so most requests are a look-up.
"""

import re

from metadata.encoding import encoded
from metadata.front.asking import NOT_FOUND, Answer, Asking, shown
from metadata.routes import ROUTES, MetadataRoute, StatsRoute
from metadata.source import ContainerFacts, Owner, Source, TaskFacts
from metadata.stats.sampler import Sampler
from metadata.task.render import NotYetKnown

_PATH = re.compile(r"/(v[34])/([^/]*)(.*)", re.DOTALL)
_KEPT_ANSWERS = 4096  # some hundreds of containers; then it starts afresh


class Versions:
    """`front.asking.Room` for all that tasks may ask about themselves."""

    def __init__(self, source: Source, sampler: Sampler) -> None:
        self._source = source
        self._sampler = sampler
        self._kept: dict[tuple[Owner, str], tuple[TaskFacts, Answer]] = {}

    async def answer(self, asking: Asking) -> Answer:
        """Whatever a container may ask, it is one of the codes."""
        match = _PATH.fullmatch(asking.path)
        route = ROUTES.get((match[1], match[3])) if match else None
        if match is None or route is None:
            return NOT_FOUND
        return await self._answer(route, asking, endpoint_id=match[2])

    async def _answer(
        self, route: MetadataRoute | StatsRoute, asking: Asking, endpoint_id: str
    ) -> Answer:
        task = self._source.task(asking.owner, endpoint_id)
        container = None if task is None else task.container(endpoint_id)
        if task is None or container is None or task.owner != asking.owner:
            reason = f"{route.subject} handler: no container has the id {endpoint_id!r}"
            return shown(reason, route.unknown_status)
        try:
            if isinstance(route, MetadataRoute):
                return self._metadata(route, asking, task, container)
            return Answer(encoded(await route.show(self._sampler, task, container)))
        except NotYetKnown as error:
            return shown(str(error), route.failed_status)

    def _metadata(
        self, route: MetadataRoute, asking: Asking, task: TaskFacts, container: ContainerFacts
    ) -> Answer:
        key = asking.owner, asking.path
        kept = self._kept.get(key)
        if kept is not None and kept[0] is task:
            return kept[1]
        answer = Answer(encoded(route.show(task, container)))
        if len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
        self._kept[key] = task, answer
        return answer
