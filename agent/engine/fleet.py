"""All tasks: accepts, finds and stops them, and keeps one supervisor running for each.

Holds the barrier: a bug met while one task is worked on is logged, and only that task waits and is
tried again. It is the only place in the agent that catches every exception.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from contextlib import suppress

from agent.engine.bell import Clock
from agent.engine.feed import Feed, Picture
from agent.engine.queue import Queue
from agent.engine.store import Store, StoreError
from agent.engine.supervisor import Host, Supervisor
from agent.task import names, status
from agent.task.actions import Done, ForgetTask
from agent.task.capacity import BOUNDLESS, Capacity
from agent.task.model import Progress, Protection, StopRequest, Task, TaskId
from agent.task.stopping import Rules
from agent.task.story import about

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 60.0
SWEEP_S = 60.0
"""How often closed tasks are looked through for ones to forget."""


def show(store: Store, feed: Feed) -> None:
    """Every stored task is in the feed, as it was when it was last saved."""
    for task_id, intent in store.intents.items():
        feed.publish(Picture(intent, store.progress(task_id)))


class Fleet:
    """The supervisors of all tasks that are not closed. ``run`` must be running for any to move.

    ``clock`` is the wall clock; that it was set shows by ``steady``, or by default not at all.
    ``failures`` counts how often the barrier has held since the agent started. ``queue`` says what
    the tasks have of the host's ``capacity``.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        feed: Feed,
        clock: Clock,
        rules: Rules,
        capacity: Capacity = BOUNDLESS,
        *,
        steady: Clock | None = None,
    ) -> None:
        self._host = host
        self._store = store
        self._feed = feed
        self._clock = clock
        self._steady = steady
        self._rules = rules
        self._supervisors: dict[TaskId, Supervisor] = {}
        self._task_of: dict[str, TaskId] = {}
        self._group: asyncio.TaskGroup | None = None
        self.failures = 0
        self.queue = Queue(store, capacity, self._ring)

    async def run(self, keep_closed_s: float, jitter_s: float = 0.0) -> None:
        """Takes up every stored task, then keeps going until cancelled, which touches no container.

        They are in the feed already (``show``). Closed ones are forgotten ``keep_closed_s`` seconds
        after that, and some more: each its own part of ``jitter_s``.
        """
        async with asyncio.TaskGroup() as self._group:
            for task_id, intent in self._store.intents.items():
                if not self._store.progress(task_id).closed:
                    self._supervise(intent.task)
            while True:
                await self._sweep(keep_closed_s, jitter_s)
                await asyncio.sleep(SWEEP_S)

    async def accept(self, *tasks: Task) -> None:
        """The tasks are on disk, and under way. Raises StoreError if they can't be kept."""
        with self.queue.entering(tasks) as admitted:
            waiting = {each.id for each in tasks} - admitted
            await self._store.accept(*tasks, waiting=waiting)
        for each in tasks:
            self._feed.publish(Picture(self._store.intents[each.id], self._store.progress(each.id)))
            self._supervise(each)

    async def stop(self, task_id: TaskId, request: StopRequest) -> None:
        """The request to stop is on disk, and under way. Nothing happens to a stopped task.

        Raises KeyError for a task that is not known, StoreError if the request can't be kept.
        """
        if self._store.progress(task_id).stopped:
            return
        await self._store.ask_to_stop(task_id, request)
        self._publish_intent(task_id)
        self._ring(task_id)

    async def protect(self, task_id: TaskId, protection: Protection | None) -> None:
        """It is on disk until when the task is protected; None: it is not.

        Raises KeyError for a task that is not known, StoreError if it can't be kept.
        """
        await self._store.protect(task_id, protection)
        self._publish_intent(task_id)

    def ring(self, container_id: str) -> None:
        """Something happened to this container; it need not be one of ours."""
        if container_id in self._task_of:
            self._ring(self._task_of[container_id])

    def ring_waiting(self) -> None:
        """A device appeared on this host: tasks whose network interface it may be have a look."""
        for task_id, each in self._supervisors.items():
            if status.interface(self._store.progress(task_id)) == "ATTACHING":
                each.ring()

    def ring_all(self) -> None:
        """Anything may have happened to any task."""
        for each in self._supervisors.values():
            each.ring()

    def _ring(self, task_id: TaskId) -> None:
        if task_id in self._supervisors:  # it may have closed meanwhile, or not be taken up yet
            self._supervisors[task_id].ring()

    def _publish_intent(self, task_id: TaskId) -> None:
        shown = self._feed.pictures[task_id]
        self._feed.publish(Picture(self._store.intents[task_id], shown.progress, shown.view))

    def _supervise(self, task: Task) -> None:
        if self._group is None:
            return  # not running yet: run() takes up every stored task
        supervisor = Supervisor(task.id, self._host, self._store, self._feed, self.queue)
        self._supervisors[task.id] = supervisor
        for each in task.containers:
            self._task_of[names.container_id(task.id, each.name)] = task.id
        self._group.create_task(self._keep(task, supervisor), name=f"task {task.id}")

    async def _keep(self, task: Task, supervisor: Supervisor) -> None:
        for delay in _delays():
            if await self._ended_well(task, supervisor.run(self._clock, self._rules, self._steady)):
                break
            await asyncio.sleep(delay)
        del self._supervisors[task.id]
        for each in task.containers:
            del self._task_of[names.container_id(task.id, each.name)]

    async def _sweep(self, keep_closed_s: float, jitter_s: float) -> None:
        for task_id, intent in tuple(self._store.intents.items()):
            progress = self._store.progress(task_id)
            keep_s = keep_closed_s + jitter_s * names.share(task_id)
            if progress.closed_at is None or self._clock() < progress.closed_at + keep_s:
                continue
            await self._ended_well(intent.task, self._forget(intent.task, progress))

    async def _forget(self, task: Task, progress: Progress) -> None:
        if not isinstance(await self._host.act(task, progress, ForgetTask()), Done):
            return
        with suppress(StoreError):  # the store says so itself; the next sweep tries again
            await self._store.forget(task.id)
            self._feed.forget(task.id)

    async def _ended_well(self, task: Task, work: Awaitable[None]) -> bool:
        """The barrier: a bug in the work on one task is logged, and does not end the others."""
        try:
            await work
        except Exception:
            self.failures += 1
            told = "work on task %s failed; it will be tried again"
            log.exception(told, task.id, extra=about(task))
            return False
        return True


def _delays() -> Iterator[float]:
    delay = 1.0
    while True:
        yield delay
        delay = min(delay * 2, LONGEST_DELAY_S)
