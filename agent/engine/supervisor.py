"""One task's loop: look, plan, save, act; until nothing of the task is left.

Safe to start at any moment and to kill at any moment: all that it remembers between two turns is
which actions are in flight. Cancelling it stops watching the task, never the task. While the store
can't be written nothing is begun: what is decided must be on disk before it is done.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from agent.engine.bell import Bell, Clock
from agent.engine.feed import Feed, Picture
from agent.engine.queue import Queue
from agent.engine.store import Store, StoreError
from agent.engine.wallclock import Setting
from agent.task.actions import Action, News, Result
from agent.task.model import Progress, Task, TaskId
from agent.task.plan import plan
from agent.task.stopping import Rules
from agent.task.story import about
from agent.task.times import moved, none_to_come
from agent.task.view import View

log = logging.getLogger(__name__)

UNSAVED_S = 2.0
"""Between two tries to save, if nothing rings."""


class Host(Protocol):
    """The world, as far as tasks go."""

    async def look(self, task: Task, progress: Progress) -> View:
        """What there is of ``task`` on the host. A piece that can't be looked at is Unknown."""

    async def act(self, task: Task, progress: Progress, action: Action) -> Result:
        """Makes it so. Idempotent; expected failures are results, not exceptions."""


class Supervisor:
    """Moves one task. ``ring`` wakes it; whatever it should know is in the store or on the host.

    Without a ``queue`` the host is boundless.
    """

    def __init__(
        self, task_id: TaskId, host: Host, store: Store, feed: Feed, queue: Queue | None = None
    ) -> None:
        self._task_id = task_id
        self._host = host
        self._store = store
        self._feed = feed
        self._queue = queue or Queue(store)
        self._bell = Bell()

    def ring(self) -> None:
        """Something may have changed: have a look."""
        self._bell.ring()

    async def run(self, clock: Clock, rules: Rules, steady: Clock | None = None) -> None:
        """Returns when the task is closed.

        Should ``clock`` be set meanwhile, that shows by ``steady``, or by default not at all.
        """
        steady = steady or clock
        setting = Setting(clock, steady)
        await self._mend(clock())
        flying: dict[str, asyncio.Task[None]] = {}
        news: list[News] = []

        async def fly(task: Task, progress: Progress, action: Action) -> None:
            began = steady()
            try:
                result = await self._host.act(task, progress, action)
                now = clock()
                news.append(News(action, now - (steady() - began), now, result))
            finally:
                del flying[action.key]
                self._bell.ring()

        async with asyncio.TaskGroup() as group:
            while True:
                # What is busy is noted before the look: a piece that changes meanwhile is unknown.
                busy, heard = frozenset(flying), tuple(news)
                news.clear()
                intent = self._store.intents[self._task_id]
                progress = self._store.progress(self._task_id)
                view = (await self._look(intent.task, progress)).hiding(busy)
                set_by = setting.by()
                told = moved(progress, set_by)
                decision = plan(intent, told, view, heard, clock(), rules)
                if not await self._saved(intent.task, progress, decision.progress):
                    news[:0] = heard
                    await self._bell.wait(clock() + UNSAVED_S, clock)
                    continue
                setting.told(set_by)
                # A stop may have been asked for during this turn; it must not seem forgotten.
                wanted = self._store.intents[self._task_id]
                self._feed.publish(Picture(wanted, decision.progress, view))
                for key in decision.drop & flying.keys():
                    if not flying[key].cancelling():  # once: more would disturb it as it tidies up
                        flying[key].cancel()
                if decision.progress.closed:
                    return
                for action in decision.actions:
                    # One that ended during this turn has news that this decision didn't hear.
                    if action.key not in flying and action.key not in busy:
                        flying[action.key] = group.create_task(
                            fly(intent.task, decision.progress, action), name=f"{action}"
                        )
                await self._bell.wait(decision.wake_at, clock)

    async def _look(self, task: Task, progress: Progress) -> View:
        """The host as it is, and what the task waits for if it has no share of it yet."""
        view = await self._host.look(task, progress)
        if progress.admitted_at is not None:
            return view
        return replace(view, shortage=self._queue.shortage(self._task_id))

    async def _saved(self, task: Task, before: Progress, after: Progress) -> bool:
        """Whether ``after`` is on disk. If not, the store says so, once for all tasks."""
        if after == before:
            return True
        try:
            await self._store.save(self._task_id, after)
        except StoreError as error:
            log.debug("the progress of task %s waits: %s", task.id, error, extra=about(task))
            return False
        self._queue.saved(self._task_id, before, after)
        _tell(task, before, after)
        return True

    async def _mend(self, now: float) -> None:
        """No time of the task's is one to come, as it would be had the clock been set back."""
        progress = self._store.progress(self._task_id)
        mended = none_to_come(progress, now)
        if mended != progress:
            with suppress(StoreError):  # said already; another start tries again
                await self._store.save(self._task_id, mended)


def _tell(task: Task, before: Progress, after: Progress) -> None:
    """One log line per step of the task's timeline, with fields for the journal."""
    for step in after.timeline[len(before.timeline) :]:
        log.info(
            "task %s %s %s",
            task.id,
            step.container or "-",
            f"{step.what} {step.detail}".rstrip(),
            extra=about(task, step.container, STEP=step.what),
        )
