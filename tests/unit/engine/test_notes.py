"""The state of the host and withdrawn definitions, in a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engine.notes import Notes
from agent.engine.store import Store, StoreError
from tests.unit.engine.test_store import definition, opened


def states(store: Store) -> list[bool]:
    return [store.notes.draining]


async def test_draining_outlives_the_agent_until_it_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(path) as store:
        seen = states(store)
        await store.notes.drain()
        await store.notes.drain()
        seen += states(store)
    async with opened(path) as store:
        seen += states(store)
        await store.notes.activate()
        await store.notes.activate()
        seen += states(store)
    async with opened(path) as store:
        seen += states(store)
    assert seen == [False, True, True, False, False]


async def test_a_deregistered_definition_is_kept_with_the_time_of_the_first_request(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    async with opened(path) as store:
        await store.register(definition(), 1.0)
        await store.notes.deregister(("web", 1), 2.0)
        await store.notes.deregister(("web", 1), 3.0)
        assert store.notes.deregistered == {("web", 1): 2.0}
    async with opened(path) as store:
        assert store.notes.deregistered == {("web", 1): 2.0}
        assert (await store.register(definition(), 4.0)).revision == 2


async def test_what_could_not_be_written_is_not_so() -> None:
    async def full(_change: object) -> None:
        raise StoreError("the disk is full")

    notes = Notes(full)
    with pytest.raises(StoreError):
        await notes.drain()
    with pytest.raises(StoreError):
        await notes.deregister(("web", 1), 2.0)
    assert not notes.draining
    assert not notes.deregistered
