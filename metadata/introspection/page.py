"""The introspection port's requests and their answers. Any HTTP method will do, as with ECS.

Who is on loopback: every user of the host, and every container of a task in host mode. They learn
what runs here: ARNs, names, images, runtime ids, addresses, ports, paths of volumes, times and
usage, of all tasks. They learn no endpoint id, which is what opens a container's own metadata to
whoever shares its network; no credentials, and no id of any; no environment, labels, tags or log
options, where people put secrets; and nothing can be changed here.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from metadata.encoding import Json
from metadata.front.asking import TEXT, Answer, shown
from metadata.front.ready import Ready
from metadata.front.tally import Tally
from metadata.introspection import render
from metadata.introspection.health import Checkup, health
from metadata.introspection.hosts import is_local
from metadata.introspection.metrics.scrape import Scrape
from metadata.source import Source, TaskFacts
from metadata.stats.sampler import Sampler

_LICENSE: Final = Answer(
    b"Hostler is licensed under the Apache License, Version 2.0.\n"
    b"Its text is https://www.apache.org/licenses/LICENSE-2.0.txt\n"
    b"and the file LICENSE of Hostler's sources.\n",
    content_type=TEXT,
)
_MISDIRECTED: Final = Answer(
    b"This port answers to an IP address or to localhost, and to no other name.\n", 421, TEXT
)
_COMMANDS: Final[Json] = {
    "AvailableCommands": ["/v1/metadata", "/v1/tasks", "/license", "/health", "/metrics"]
}
_SHORT_ID: Final = 12  # up to so many characters it may be the beginning of an id


class Introspection:
    """Answers for all tasks of `source`; `tally` counts the metadata endpoint's own requests."""

    def __init__(self, source: Source, sampler: Sampler, checkup: Checkup, tally: Tally) -> None:
        self._source = source
        self._sampler = sampler
        self._checkup = checkup
        self._tally = tally
        self._exposing = asyncio.Lock()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """`metadata.front.listener.Handler` of the introspection socket."""
        query = request.rel_url.raw_query_string
        return Ready(await self.page(request.path, query, request.headers), "")

    async def page(self, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a request; an unknown path tells which ones there are."""
        if not is_local(headers.get("Host", "")):
            return _MISDIRECTED
        match path:
            case "/v1/metadata":
                return shown(render.instance(self._source.instance))
            case "/v1/tasks":
                return self._tasks(parse_qs(query, keep_blank_values=True))
            case "/license":
                return _LICENSE
            case "/health":
                return health(await self._checkup.checks(), sum(1 for _ in self._source.tasks()))
            case "/metrics":
                return await self._metrics(headers.get("Accept", ""))
            case _:
                return shown(_COMMANDS)

    def _tasks(self, query: Mapping[str, list[str]]) -> Answer:
        """All tasks, or the one that is asked for; 404 without it, 400 if it isn't just one."""
        tasks = list(self._source.tasks())
        arn, docker_id = (query.get(each, [None])[0] for each in ("taskarn", "dockerid"))
        if arn is None and docker_id is None:
            return shown({"Tasks": [render.task(each) for each in tasks]})
        if arn is not None and docker_id is not None:
            return shown(render.NOBODY, 400)
        found = [each for each in tasks if each.arn == arn]
        if docker_id is not None:
            found = _containing(tasks, docker_id)
        if len(found) != 1:
            return shown(render.NOBODY, 400 if found else 404)
        return shown(render.task(found[0]))

    async def _metrics(self, accept: str) -> Answer:
        """Facts are taken here, at one moment; making text of them is left to a thread.

        To one at a time: threads are for everybody, and whoever is on loopback may ask.
        """
        async with self._exposing:
            return await asyncio.to_thread(_exposed, await self._scrape(), accept)

    async def _scrape(self) -> Scrape:
        return Scrape(
            instance=self._source.instance,
            tasks=tuple(self._source.tasks()),
            latest=self._sampler.latest,
            checks=await self._checkup.checks(),
            failures=self._checkup.failures,
            requests=self._tally.counted,
        )


def _exposed(scrape: Scrape, accept: str) -> Answer:
    # The library takes 50 ms to import and some MB: only where Prometheus really comes.
    from metadata.introspection.metrics.exposition import exposed

    return exposed(scrape, accept)


def _containing(tasks: list[TaskFacts], docker_id: str) -> list[TaskFacts]:
    """The task of each container with this id, or whose id begins so if it is short."""
    return [
        task
        for task in tasks
        for container in render.shown(task)
        if container.docker_id
        and (
            container.docker_id == docker_id
            or (len(docker_id) <= _SHORT_ID and container.docker_id.startswith(docker_id))
        )
    ]
