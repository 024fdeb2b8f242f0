"""What the agent finds when it looks at itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.containerd.errors import Unavailable
from agent.engine.store import Store
from agent.telling import checkup
from agent.telling.checkup import FRESH_S, Checkup
from metadata.introspection.health import Check


@dataclass
class Daemon:
    """A containerd that answers as it is told, and counts."""

    fails: Exception | None = None
    hangs: bool = False
    asked: int = 0

    async def version(self, *, timeout: float) -> str:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails
        return "1.6"


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


async def opened(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state.db")
    await store.open()
    return store


def looking(daemon: Daemon, store: Store, clock: Clock | None = None) -> Checkup:
    client: Any = daemon
    fleet: Any = SimpleNamespace(failures=7)
    return Checkup(client, store, fleet, clock or Clock())


async def test_a_well_agent(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    try:
        found = looking(Daemon(), store)
        assert await found.checks() == (Check("containerd"), Check("store"))
        assert found.failures == 7
    finally:
        await store.close()


async def test_a_containerd_that_is_away_and_a_store_that_is_closed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    store._file._db, kept = None, store._file._db
    try:
        found = looking(Daemon(fails=Unavailable("it is away")), store)
        assert await found.checks() == (
            Check("containerd", "it is away"),
            Check("store", "the state store is closed"),
        )
    finally:
        store._file._db = kept
        await store.close()


async def test_no_answer_is_a_problem_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        """As a store that answers before anybody can lose patience."""

    monkeypatch.setattr(checkup, "PATIENCE_S", 0.05)
    store: Any = SimpleNamespace(check=check)
    containerd, well = await looking(Daemon(hangs=True), store).checks()
    assert containerd.problem.startswith("no answer within ")
    assert well.problem == ""


async def test_many_who_ask_cost_one_look(tmp_path: Path) -> None:
    store, daemon, clock = await opened(tmp_path), Daemon(), Clock()
    try:
        found = looking(daemon, store, clock)
        await asyncio.gather(*(found.checks() for _ in range(10)))
        assert daemon.asked == 1
        clock.now += FRESH_S
        daemon.fails = Unavailable("it is away")
        assert (await found.checks())[0].problem == "it is away"
        assert daemon.asked == 2
    finally:
        await store.close()
