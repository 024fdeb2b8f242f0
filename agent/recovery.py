"""At the start: tasks that run and that the state store does not know, or not well, are taken up.

Composed here, since the store and the host do not know each other. Comes before anything that is
no task's is removed from the host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from agent.engine.store import Registered, Store
from agent.host.containers import keepsakes
from agent.host.containers.keepsakes import Owned
from agent.host.leftovers.strays import Stray, Strays, remove_idle
from agent.task import names, rebuilding
from agent.task.model import ContainerProgress, Intent, Progress, Task, TaskId
from agent.task.names import Names
from agent.task.rebuilding import Remains, Remnant, fits
from agent.task.story import about

log = logging.getLogger(__name__)

Found = Mapping[TaskId, list[Owned]]


async def recover(store: Store, strays: Strays, now: float) -> list[Stray]:
    """Every task of which containers tell is in the store; gives those that could not be rebuilt.

    Of these only what runs is left. Raises ContainerdError, StoreError, OSError.
    """
    found = await strays.containers()
    rebuilder = _Rebuilder(store, strays, found, now)
    tasks = await rebuilder.tasks()
    if tasks:
        await store.adopt([(each.intent, each.progress) for each in tasks], _definitions(tasks))
    for each in tasks:
        _tell(each)
    left = await remove_idle(strays, await strays.among(found, store.intents))
    for stray in left:
        log.error(
            "%s is not known, and nothing in containerd tells more of it: what runs is left alone; "
            "'hostler doctor --fix' stops and removes it",
            stray,
        )
    known = {*store.intents, *(each.task_id for each in left)}
    ids = {each.record.id for containers in found.values() for each in containers}
    swept = await strays.sweep(known, ids)
    if tasks or left or not store.intents:  # all processes are looked through for that
        swept += await strays.sweep_shims({*ids, *_container_ids(store)})
    for what in swept:
        log.warning("removed what a task that is gone had left: %s", what)
    return left


def _container_ids(store: Store) -> Iterator[str]:
    for intent in store.intents.values():
        for each in intent.task.containers:
            yield names.container_id(intent.task.id, each.name)


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    """A task with what it was put together from."""

    intent: Intent
    progress: Progress
    why: str
    whole: bool = False


class _Rebuilder:
    """One look at what the store has and what the host has."""

    def __init__(self, store: Store, strays: Strays, found: Found, now: float) -> None:
        self._store = store
        self._strays = strays
        self._found = found
        self._now = now

    async def tasks(self) -> list[_Rebuilt]:
        """Everything that the store should have, oldest first."""
        rebuilt = [
            *[await self._of_intent(each) for each in self._store.halves.intents.values()],
            *[await self._of_containers(each) for each in self._unknown()],
            *(await self._doubtful() if self._store.halves.doubtful else ()),
        ]
        found = [each for each in rebuilt if each is not None]
        return sorted(found, key=lambda each: each.intent.task.accepted_at)

    def _unknown(self) -> list[TaskId]:
        known = {*self._store.intents, *self._store.halves.intents}
        return [each for each in self._found if each not in known]

    async def _of_intent(self, intent: Intent) -> _Rebuilt:
        """The store has what was asked, and lost what came of it."""
        owned = self._found.get(intent.task.id, ())
        remembered = keepsakes.remembered(owned)
        known = remembered[1] if remembered and fits(intent.task, remembered[1]) else None
        return await self._rebuilt(intent, known, "its progress was lost")

    async def _of_containers(self, task_id: TaskId) -> _Rebuilt | None:
        """The store does not know the task; its containers may tell."""
        remembered = keepsakes.remembered(self._found[task_id])
        if remembered is None or not fits(*remembered):
            return None
        task, facts = remembered
        stored = self._store.halves.progress.get(task_id)
        known = stored if stored is not None and fits(task, stored) else facts
        return await self._rebuilt(Intent(task), known, "it was found in containerd")

    async def _doubtful(self) -> list[_Rebuilt]:
        """The store may have lost what came last: what the host tells of its open tasks counts."""
        found = []
        for task_id in self._store.open_tasks:
            intent, known = self._store.intents[task_id], self._store.progress(task_id)
            progress = rebuilding.rebuilt(
                intent.task, known, await self._remains(intent.task), self._now
            )
            if progress != known:
                why = "what was known of it may be old"
                told = rebuilding.told(progress, intent.task, why, self._now)
                found.append(_Rebuilt(intent, told, why, whole=True))
        return found

    async def _rebuilt(self, intent: Intent, known: Progress | None, why: str) -> _Rebuilt:
        left = await self._remains(intent.task)
        progress = rebuilding.rebuilt(intent.task, known, left, self._now)
        told = rebuilding.told(progress, intent.task, why, self._now)
        return _Rebuilt(intent, told, why)

    async def _remains(self, task: Task) -> Remains:
        owned = self._found.get(task.id, [])
        states = await self._strays.processes(owned)
        remnants = {
            each.name: Remnant(each.record.created_at, state)
            for each, state in zip(owned, states, strict=True)
        }
        buried, ran = await asyncio.to_thread(_on_disk, self._strays.names, task.id)
        return Remains(remnants, buried, ran)


def _on_disk(of: Names, task_id: TaskId) -> tuple[Mapping[str, ContainerProgress], bool]:
    """What was kept of deleted containers, and whether the task ever had any (it has a log)."""
    return keepsakes.buried(of, task_id), of.log(task_id, "any").parent.exists()


def _definitions(tasks: Collection[_Rebuilt]) -> list[Registered]:
    """What the tasks tell of the definitions they are of; one with overrides tells none."""
    return [
        Registered(task.definition, task.revision, task.accepted_at)
        for task in (each.intent.task for each in tasks if not each.whole)
        if not task.overrides
    ]


def _tell(rebuilt: _Rebuilt) -> None:
    task = rebuilt.intent.task
    containers = rebuilt.progress.containers
    running = [
        name for name, each in containers.items() if each.started_at is not None and not each.ended
    ]
    ended = [name for name, each in containers.items() if each.ended]
    log.warning(
        "task %s (%s:%d) was rebuilt: %s; running: %s; ended: %s; %s",
        *(task.id, task.definition.family, task.revision, rebuilt.why),
        *(", ".join(running) or "none", ", ".join(ended) or "none", rebuilding.FORGOTTEN),
        extra=about(task),
    )
