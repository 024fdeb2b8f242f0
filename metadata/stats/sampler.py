"""When samples are taken: every second while somebody asks, else now and then.

So a first request finds a sample with a past, and an idle host pays next to nothing.

The files are tiny, but reading memory.stat makes the kernel sum counters over all processors,
which takes milliseconds on large hosts, so one thread of this module does the reading and the
event loop never waits for the kernel. A request for what is there takes neither that way nor a
lock.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Never

from metadata.source import Source, TaskFacts
from metadata.stats.render import Sample
from metadata.stats.sweep import CGROUPFS, PROCFS, Kept, Sweeper, targets

_FRESH_NS = 2_000_000_000  # a sweep each second may come late
_BUSY_INTERVAL_S = 1.0
_BUSY_S = 60.0
_READ_TIMEOUT_S = 0.8  # several SDKs give up at 1 s; a healthy sweep takes milliseconds

log = logging.getLogger(__name__)


class Sampler:
    """The last two samples of each container. Close it to end its thread.

    `interval_s` is the time between sweeps while nobody asks.
    """

    def __init__(
        self,
        cgroupfs: Path = CGROUPFS,
        procfs: Path = PROCFS,
        clock_ns: Callable[[], int] = time.time_ns,
        interval_s: float = 10.0,
    ) -> None:
        self._sweeper = Sweeper(cgroupfs, procfs, clock_ns)
        self._clock_ns = clock_ns
        self._interval_s = interval_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stats")
        self._turn = asyncio.Lock()
        self._job: asyncio.Future[None] | None = None
        self._busy_until = 0.0
        self._asked = asyncio.Event()

    async def run(self, source: Source) -> Never:
        """Sweeps all running containers of the source, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            every = targets(source.tasks())
            if every or self._sweeper.kept:
                await self._in_thread(partial(self._sweeper.sweep, every))
            await self._rest(started)

    def fresh(self, docker_id: str) -> Kept | None:
        """The container's samples, unless the last one is too old or there is none. Cheap.

        Somebody asks: sampling goes on every second for a minute.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._busy_until:
            self._asked.set()
        self._busy_until = now + _BUSY_S
        kept = self._sweeper.kept.get(docker_id)
        if kept is not None and 0 <= self._clock_ns() - kept.latest.moment.at < _FRESH_NS:
            return kept
        return None

    async def refreshed(self, task: TaskFacts) -> dict[str, Kept]:
        """Samples the task's containers now, and gives the samples of those that have some.

        Within a deadline: a kernel that doesn't answer leaves the samples that there were.
        """
        wanted = targets([task])
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                await self._in_thread(partial(self._sweeper.measure, wanted))
        except TimeoutError:
            told = "reading the cgroups of %s takes too long"
            log.warning(told, task.arn, extra={"TASK_ARN": task.arn})
        kept = self._sweeper.kept
        return {each.docker_id: kept[each.docker_id] for each in wanted if each.docker_id in kept}

    def latest(self, docker_id: str) -> Sample | None:
        """The container's last sample, however old it is. Takes none, and is for any thread."""
        kept = self._sweeper.kept.get(docker_id)
        return None if kept is None else kept.latest.sample

    def close(self) -> None:
        """Ends the thread once it has no file left to read, and closes its files."""
        self._thread.submit(self._sweeper.close)
        self._thread.shutdown(wait=False)

    async def _rest(self, started: float) -> None:
        """Until the next sweep is due; somebody who asks may bring that forward."""
        loop = asyncio.get_running_loop()
        while True:
            self._asked.clear()
            busy = loop.time() < self._busy_until
            left = started + (_BUSY_INTERVAL_S if busy else self._interval_s) - loop.time()
            if left <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._asked.wait()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """One at a time, also when who waited for the last one has given up."""
        async with self._turn:
            if self._job is not None and not self._job.done():
                await asyncio.wait([self._job])
            loop = asyncio.get_running_loop()
            self._job = loop.run_in_executor(self._thread, _done, work)
            await asyncio.wait([self._job])


def _done(work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:
        log.warning("can't take statistics: %s", error)
