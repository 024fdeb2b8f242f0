"""Which tasks have what they need of the host, and what the others wait for.

Follows from the stored progress, whenever it is asked for: there is nothing to restore after a
restart. The rules are in ``agent.task.capacity``. Only what was granted and is not on disk yet is
remembered here; if that is lost, nothing of the task has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from agent.engine.store import Store
from agent.task import capacity as rules
from agent.task.capacity import BOUNDLESS, Capacity, Claim, Holding, Item, Need
from agent.task.model import Progress, Task, TaskId


class Queue:
    """Grants tasks their share of ``capacity``; ``wake`` is called for each that had to wait."""

    def __init__(
        self,
        store: Store,
        capacity: Capacity = BOUNDLESS,
        wake: Callable[[TaskId], None] = lambda _: None,
    ) -> None:
        self.capacity = capacity
        self._store = store
        self._wake = wake
        self._needs: dict[TaskId, Need] = {}
        self._entering: dict[TaskId, Task] = {}
        self._granted: set[TaskId] = set()
        self._waiting: Mapping[TaskId, str] | None = None

    @property
    def waiting(self) -> Mapping[TaskId, str]:
        """What each task that waits does so for, oldest first."""
        if self._waiting is None:
            self._settle()
        return MappingProxyType(self._waiting or {})

    def shortage(self, task_id: TaskId) -> str:
        """What the task waits for, or nothing: then its share is its own from now on."""
        return self.waiting.get(task_id, "")

    @contextmanager
    def entering(self, tasks: Sequence[Task]) -> Iterator[frozenset[TaskId]]:
        """While these are being stored; gives those that have what they need at once.

        They count from now on, but no longer if they are not in the store in the end.
        """
        self._entering.update({each.id: each for each in tasks})
        self._settle()
        admitted = frozenset(each.id for each in tasks if each.id in self._granted)
        try:
            yield admitted
        finally:
            for each in tasks:
                del self._entering[each.id]
                stored = each.id in self._store.intents
                if each.id in admitted or not stored:
                    self._granted.discard(each.id)
                if not stored:
                    self._needs.pop(each.id, None)
            if self._waiting:
                self._settle()

    def saved(self, task_id: TaskId, before: Progress, after: Progress) -> None:
        """The task's progress is on disk: what it holds may have become less."""
        if after.closed:
            self._needs.pop(task_id, None)
        if rules.holding(before) is rules.holding(after):
            return
        if after.admitted_at is not None or after.stop is not None:
            self._granted.discard(task_id)
        if self.waiting:
            self._settle()

    def held(self) -> dict[Item, int]:
        """How much of what the tasks have together."""
        return rules.total(each for each in self._claims() if not each.waits)

    def need(self, task: Task) -> Need:
        """What the task takes, worked out once."""
        found = self._needs.get(task.id)
        if found is None:
            found = self._needs[task.id] = rules.need(task.definition)
        return found

    def _settle(self) -> None:
        allotment = rules.allot(list(self._claims()), self.capacity)
        self._waiting = allotment.waiting
        self._granted.update(allotment.admitted)
        for each in allotment.admitted:
            self._wake(each)

    def _claims(self) -> Iterator[Claim]:
        """By age: those that are being stored are the youngest."""
        for task_id, intent in self._store.intents.items():
            holding = rules.holding(self._store.progress(task_id))
            if holding is not Holding.NOTHING:
                yield self._claim(intent.task, holding)
        for task_id, task in self._entering.items():
            if task_id not in self._store.intents:
                yield self._claim(task, Holding.WAITS)

    def _claim(self, task: Task, holding: Holding) -> Claim:
        wanted = self.need(task)
        if holding is Holding.PLACES:
            return Claim(task.id, rules.places(wanted))
        return Claim(task.id, wanted, holding is Holding.WAITS and task.id not in self._granted)
