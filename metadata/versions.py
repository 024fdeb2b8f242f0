"""The rooms of the metadata versions: find whom a path is about, and show what its route shows.

Errors are bare JSON strings. Encoded metadata is kept for as long as the agent hands out the same
facts, a minute at most, and statistics until there are others, so most requests are a look-up.
"""

import re
from dataclasses import dataclass, field

from metadata.encoding import encoded
from metadata.front.asking import NOT_FOUND, Answer, Asking, shown
from metadata.routes import ROUTES, V2_CONTAINERS, V2_TASKS, MetadataRoute, Route, Subject
from metadata.source import ContainerFacts, Owner, Source, TaskFacts
from metadata.stats.sampler import Sampler
from metadata.task import associations
from metadata.task.clock import ClockFacts, HostClock
from metadata.task.render import NotYetKnown

_PATH = re.compile(r"/(v[34])/([^/]*)(.*)", re.DOTALL)
_V2_PATH = re.compile(r"/v2/([^/]*)(?:/([^/]*))?")
_Kept = tuple[TaskFacts, ClockFacts | None, Answer]
_KEPT_ANSWERS = 4096  # some hundreds of containers; then it starts afresh


@dataclass(slots=True)
class Reception:
    """Answers a route about a subject, once it is known which."""

    source: Source
    sampler: Sampler
    clock: HostClock = field(default_factory=HostClock)
    _kept: dict[tuple[Owner, str], _Kept] = field(default_factory=dict)

    async def answer(
        self, route: Route, asking: Asking, task: TaskFacts, container: ContainerFacts
    ) -> Answer:
        """What the route shows, or why it can't."""
        try:
            if isinstance(route, MetadataRoute):
                return self._metadata(route, asking, task, container)
            shows = await route.show(self.sampler, task, container)
            return self._measured(asking, task, shows)
        except NotYetKnown as error:
            return shown(str(error), route.failed_status)

    def _measured(self, asking: Asking, task: TaskFacts, body: bytes) -> Answer:
        """The last answer, whose head is composed, for as long as it says the same."""
        kept = self._kept.get((asking.owner, asking.path))
        if kept is not None and kept[2].body == body:
            return kept[2]
        return self._keep(asking, task, None, Answer(body))

    def _metadata(
        self, route: MetadataRoute, asking: Asking, task: TaskFacts, container: ContainerFacts
    ) -> Answer:
        clock, kept = self.clock.facts(), self._kept.get((asking.owner, asking.path))
        if kept is not None and kept[0] is task and kept[1] is clock:
            return kept[2]
        subject = Subject(task, container, self.source.instance, clock)
        return self._keep(asking, task, clock, Answer(encoded(route.show(subject))))

    def _keep(
        self, asking: Asking, task: TaskFacts, clock: ClockFacts | None, answer: Answer
    ) -> Answer:
        if len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
        self._kept[asking.owner, asking.path] = task, clock, answer
        return answer


@dataclass(frozen=True, slots=True)
class ById:
    """Versions 3 and 4, whose paths name a container by its endpoint id."""

    reception: Reception

    async def answer(self, asking: Asking) -> Answer:
        """Whatever a container may ask, it is one of the codes."""
        match = _PATH.fullmatch(asking.path)
        if match is None:
            return NOT_FOUND
        version, endpoint_id, rest = match.groups()
        route = ROUTES.get((version, rest))
        if route is None and not rest.startswith(associations.ROUTE):
            return NOT_FOUND
        task = self.reception.source.task(asking.owner, endpoint_id)
        container = None if task is None else task.container(asking.owner, endpoint_id)
        if route is None:
            tail = rest.removeprefix(associations.ROUTE)
            return associations.answer(version.upper(), container, tail)
        if task is None or container is None:
            reason = f"{route.name} handler: no container has the id {endpoint_id!r}"
            return shown(reason, route.unknown_status)
        return await self.reception.answer(route, asking, task, container)


@dataclass(frozen=True, slots=True)
class ByOwner:
    """Version 2, which knows the task by where it asks from, and only tasks in awsvpc mode."""

    reception: Reception

    async def answer(self, asking: Asking) -> Answer:
        """Whatever a container may ask, it is one of the codes."""
        match = _V2_PATH.fullmatch(asking.path)
        kind, docker_id = match.groups("") if match else ("", "")
        route = V2_CONTAINERS.get(kind) if docker_id else V2_TASKS.get(kind)
        if route is None:
            return NOT_FOUND
        task = next(iter(self.reception.source.owned(asking.owner)), None)
        if task is None or task.owner != asking.owner or task.network_mode != "awsvpc":
            reason = f"{route.name} handler: version 2 answers tasks in awsvpc mode only"
            return shown(reason, route.unknown_status)
        existing = [each for each in task.containers if each.docker_id]
        found = [each for each in existing if docker_id in ("", each.docker_id)]
        if not found:
            reason = f"{route.name} handler: the task has no container {docker_id!r}"
            return shown(reason, route.unknown_status)
        return await self.reception.answer(route, asking, task, found[0])
