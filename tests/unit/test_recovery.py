"""What the store lost is put together again from containers; the rest is left, or removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.containerd.types import ContainerRecord, Status
from agent.engine.store import Halves, Store
from agent.host.containers import shims
from agent.host.containers.keepsakes import bury
from agent.host.leftovers.strays import Strays
from agent.recovery import recover
from agent.task import names
from agent.task.definition import read_task_definition
from agent.task.model import ContainerProgress, Intent, Progress, StopRequest, Task
from agent.task.names import Names
from agent.task.rebuilding import LOST
from tests.unit.host.test_keepsakes import record
from tests.unit.host.test_strays import FakeContainerd, strays_of
from tests.unit.host.worlds import names_below
from tests.worlds import container, running, task

PAIR = task(container("init", essential=False), container("web"), task_id="1" * 32)
NOW = 50.0


@dataclass
class World:
    """A store, and a host whose containers the test makes."""

    store: Store
    host: FakeContainerd
    of: Names
    strays: Strays

    def has(self, made: Task, name: str, status: Status | None, **changes: object) -> None:
        """Container ``name`` is in containerd, made when the task ran; its process is so."""
        found = record(self.of, made, name, running(Intent(made)), 5.0)
        found = replace(found, **changes)  # type: ignore[arg-type]
        self.host.records[found.id] = found
        if status is not None:
            self.host.processes[found.id] = status

    async def recovered(self) -> list[str]:
        left = await recover(self.store, self.strays, NOW)
        return [each.task_id for each in left]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for each in ("end_leftover", "end_unknown"):
        monkeypatch.setattr(shims, each, lambda *_: [])
    store, host, of = Store(tmp_path / "state.db"), FakeContainerd(), names_below(tmp_path)
    await store.open()
    yield World(store, host, of, strays_of(host, of, tmp_path))
    await store.close()


def steps(progress: Progress) -> list[str]:
    return [each.what for each in progress.timeline]


async def test_a_task_that_only_its_containers_know_is_taken_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.has(PAIR, "web", Status.RUNNING)
    ended = ContainerProgress(ended=True, exit_code=3, started_at=1.0)
    world.of.task_dir(PAIR.id).mkdir(parents=True)
    bury(world.of, PAIR, "init", running(Intent(PAIR)).having_all("init", ended))
    assert await world.recovered() == []
    assert world.store.intents[PAIR.id] == Intent(PAIR)
    progress = world.store.progress(PAIR.id)
    assert progress.containers["init"] == ended
    assert progress.containers["web"].started_at == 0.0
    assert progress.networks == running(Intent(PAIR)).networks
    assert steps(progress) == ["accepted", "rebuilt"]
    assert (
        f"task {PAIR.id} (test:1) was rebuilt: it was found in containerd; "
        "running: web; ended: init; health so far"
    ) in caplog.text
    assert world.of.task_dir(PAIR.id).exists()
    again = dict(world.store.intents), world.store.progress(PAIR.id)
    assert await world.recovered() == []
    assert (dict(world.store.intents), world.store.progress(PAIR.id)) == again


async def test_its_definition_is_registered_unless_it_was_overridden(world: World) -> None:
    body = {"family": "web", "containerDefinitions": [{"name": "web", "image": "x", "memory": 6}]}
    definition = read_task_definition(body).definition
    plain = replace(task(container("web"), task_id="2" * 32), definition=definition, revision=7)
    other = replace(plain, id=task(container("web"), task_id="3" * 32).id, revision=8)
    other = replace(other, arn=plain.arn.replace(plain.id, other.id), overrides={"cpu": "256"})
    for each in (plain, other):
        world.has(each, "web", Status.RUNNING)
    await world.recovered()
    assert {7} == set(world.store.definitions["web"])
    assert world.store.definitions["web"][7].definition == definition
    assert set(world.store.intents) == {plain.id, other.id}


async def test_what_was_asked_of_a_task_outlives_the_loss_of_its_progress(world: World) -> None:
    world.has(PAIR, "web", Status.RUNNING)
    intent = Intent(PAIR, StopRequest(1.0, "asked"))
    world.store.halves = Halves(intents={PAIR.id: intent})
    await world.recovered()
    assert world.store.intents[PAIR.id] == intent
    assert world.store.progress(PAIR.id).containers["web"].started_at is not None
    assert "its progress was lost" in world.store.progress(PAIR.id).timeline[1].detail


@pytest.mark.parametrize("ran", [True, False])
async def test_without_containers_only_what_never_ran_is_begun(world: World, ran: bool) -> None:
    world.store.halves = Halves(intents={PAIR.id: Intent(PAIR)})
    if ran:
        world.of.log(PAIR.id, "web").parent.mkdir(parents=True)
    await world.recovered()
    for each in world.store.progress(PAIR.id).containers.values():
        assert (each.ended, each.reason) == ((True, LOST) if ran else (False, ""))


async def test_facts_that_the_store_still_has_count_more_than_a_keepsake(world: World) -> None:
    world.has(PAIR, "web", Status.RUNNING)
    known = running(Intent(PAIR)).having("init", ended=True, exit_code=9)
    world.store.halves = Halves(progress={PAIR.id: known})
    await world.recovered()
    assert world.store.progress(PAIR.id).containers["init"].exit_code == 9


async def test_facts_of_a_known_task_are_completed_only_where_they_may_be_old(
    world: World,
) -> None:
    await world.store.accept(PAIR)
    world.has(PAIR, "web", Status.RUNNING)
    first = world.store.progress(PAIR.id)
    await world.recovered()
    assert world.store.progress(PAIR.id) == first
    world.store.halves = Halves(doubtful=True)
    await world.recovered()
    progress = world.store.progress(PAIR.id)
    assert progress.containers["web"].started_at == 5.0
    assert steps(progress) == ["accepted", "rebuilt"]
    await world.recovered()
    assert world.store.progress(PAIR.id) == progress, "nothing new was found"
    assert world.store.definitions == {}


async def test_what_tells_nothing_is_left_if_it_runs_and_removed_if_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    other = task(container("web"), task_id="2" * 32)
    world.has(PAIR, "web", Status.RUNNING, extensions={})
    world.has(other, "web", Status.STOPPED, extensions={})
    assert await world.recovered() == [PAIR.id]
    assert set(world.host.records) == {names.container_id(PAIR.id, "web")}
    assert world.host.signals == []
    assert f"task {PAIR.id} (web) is not known" in caplog.text
    assert dict(world.store.intents) == {}


async def test_containers_of_others_are_left_alone(world: World) -> None:
    theirs = ContainerRecord("x", b"{}", labels={"made": "by hand"})
    world.host.records["x"] = theirs
    world.host.processes["x"] = Status.STOPPED
    assert await world.recovered() == []
    assert world.host.records == {"x": theirs}
