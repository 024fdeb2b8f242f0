"""What is known of a task again from what is left of it; nothing that may have run runs twice."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engine.feed import Feed
from agent.engine.supervisor import Supervisor
from agent.task.actions import Action, CreateContainer, DeleteContainer, ReleaseTask, Result
from agent.task.definition import NetworkMode
from agent.task.model import (
    ContainerProgress,
    Intent,
    Progress,
    StopRequest,
    Task,
    first_progress,
)
from agent.task.rebuilding import (
    LOST,
    Keepsake,
    Remains,
    Remnant,
    fits,
    keepsake,
    newest,
    rebuilt,
    told,
)
from agent.task.records import Held, Step
from agent.task.stopping import Rules
from agent.task.view import Running
from tests.fakes.host import Behaviour, FakeHost
from tests.fakes.store import MemoryStore
from tests.worlds import IMAGE, ROLE, container, running, task

NOTHING = Remains({}, {}, once_ran=False)
PAIR = task(container("init", essential=False), container("web"))


def left(once_ran: bool = True, **processes: Running | None) -> Remains:
    return Remains({name: Remnant(5.0, each) for name, each in processes.items()}, {}, once_ran)


def test_a_keepsake_has_no_secrets_and_no_history() -> None:
    made = replace(task(container("web"), role=ROLE), credentials_token="token")
    facts = replace(running(Intent(made)), held={"x": Held(1, 2, "why")}).noting(Step(1, "what"))
    kept = keepsake(made, "web", facts)
    assert (kept.task_role, kept.execution_role) == (True, False)
    assert "credentials-1" not in repr(kept)
    assert not kept.task.credentials_id
    assert not kept.task.credentials_token
    assert (kept.progress.timeline, kept.progress.held) == ((), {})
    assert kept.progress.containers == facts.containers
    assert kept.progress.networks == facts.networks


def test_the_newest_keepsake_knows_most() -> None:
    old, new = (
        Keepsake(PAIR, name, first_progress(PAIR), task_role=False, execution_role=False)
        for name in ("init", "web")
    )
    assert newest([(2.0, new), (1.0, old)]) is new


@pytest.mark.parametrize("process", [Running.RUNNING, Running.STOPPED])
def test_what_has_a_process_was_created_and_started(process: Running) -> None:
    known = first_progress(PAIR).having("web", image=IMAGE)
    progress = rebuilt(PAIR, known, left(init=None, web=process), 9.0)
    assert progress.containers["web"] == ContainerProgress(
        image=IMAGE, created_at=5.0, started_at=5.0
    )


def test_what_waits_to_be_started_was_only_created() -> None:
    progress = rebuilt(PAIR, None, left(web=Running.CREATED), 9.0)
    assert progress.containers["web"].created_at == 5.0
    assert progress.containers["web"].started_at is None
    assert progress.containers["init"] == ContainerProgress(), "it may still be to come"


def test_what_was_known_of_a_container_stays() -> None:
    known = first_progress(PAIR).having("web", image=IMAGE, created_at=1.0, started_at=2.0)
    progress = rebuilt(PAIR, known, left(web=Running.RUNNING), 9.0)
    assert progress.containers["web"] == known.containers["web"]


def test_what_was_deleted_is_known_by_what_it_left() -> None:
    facts = ContainerProgress(image=IMAGE, started_at=1.0, ended=True, exit_code=3)
    remains = Remains({"web": Remnant(5.0, Running.RUNNING)}, {"init": facts}, once_ran=True)
    assert rebuilt(PAIR, None, remains, 9.0).containers["init"] == facts
    other = first_progress(PAIR).having("init", ended=True, exit_code=4)
    assert rebuilt(PAIR, other, remains, 9.0).containers["init"].exit_code == 4
    half = Remains({"init": Remnant(5.0, None)}, {"init": facts}, once_ran=True)
    assert rebuilt(PAIR, None, half, 9.0).containers["init"] == facts, "its deletion was under way"
    again = Remains({"init": Remnant(5.0, Running.RUNNING)}, {"init": facts}, once_ran=True)
    assert not rebuilt(PAIR, None, again, 9.0).containers["init"].ended, "it was started again"
    odd = Remains({"gone": Remnant(5.0, None)}, {"gone": facts}, once_ran=True)
    assert rebuilt(PAIR, None, odd, 9.0).containers.keys() == {"init", "web"}


def test_where_nothing_runs_nothing_is_begun() -> None:
    for remains in (NOTHING, left(once_ran=False)):
        new = replace(first_progress(PAIR), admitted_at=None)
        assert rebuilt(PAIR, None, remains, 9.0) == new, "others may have its share by now"
    for remains in (replace(NOTHING, once_ran=True), left(once_ran=False, init=None)):
        containers = rebuilt(PAIR, None, remains, 9.0).containers
        assert (containers["web"].ended, containers["web"].reason) == (True, LOST)
        assert containers["init"].ended or containers["init"].started_at == 5.0


def test_what_was_begun_holds_its_share_of_the_host() -> None:
    """Though it waits for that, by what was saved last."""
    made = task(container("web"))
    waits = replace(first_progress(made), admitted_at=None)
    assert rebuilt(made, waits, left(web=Running.RUNNING), 9.0).admitted_at == 9.0
    assert rebuilt(made, waits, left(), 9.0).admitted_at == 9.0
    assert rebuilt(made, waits, left(once_ran=False), 9.0).admitted_at is None


def test_facts_of_another_task_do_not_fit() -> None:
    assert fits(PAIR, first_progress(PAIR))
    assert not fits(PAIR, first_progress(task(container("web"))))
    assert not fits(PAIR, first_progress(replace_mode(PAIR)))


def replace_mode(made: Task) -> Task:
    definition = made.definition.model_copy(update={"network_mode": "awsvpc"})
    return replace(made, definition=definition)


def test_the_timeline_says_what_it_was_made_of() -> None:
    progress = told(Progress({}), PAIR, "it was found in containerd", 9.0)
    assert [each.what for each in progress.timeline] == ["accepted", "rebuilt"]
    assert progress.timeline[1].detail.startswith("it was found in containerd; health so far")
    whole = told(first_progress(PAIR), PAIR, "why", 9.0)
    assert [each.what for each in whole.timeline] == ["accepted", "rebuilt"]


RULES = Rules(stop_timeout_s=2.0)


class Burying(FakeHost):
    """Keeps what the real host keeps beside the store: keepsakes, and facts about the deleted."""

    kept: dict[str, tuple[float, Progress]]
    buried: dict[str, ContainerProgress]

    async def act(self, task: Task, progress: Progress, action: Action) -> Result:
        match action:
            case CreateContainer(name) if name not in self.containers:
                self.kept[name] = self.now(), keepsake(task, name, progress).progress
            case DeleteContainer(name) if progress.containers[name].ended:
                self.buried[name] = progress.containers[name]
            case ReleaseTask():
                self.buried.clear()
            case _:
                pass
        return await super().act(task, progress, action)

    def remains(self) -> Remains:
        self._age()
        there = {
            name: Remnant(self.kept[name][0], seen.running)
            for name, seen in self.containers.items()
        }
        return Remains(there, dict(self.buried), once_ran=bool(self.kept))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lost_at=st.floats(0.01, 15),
    with_keepsakes=st.booleans(),
    exits=st.fixed_dictionaries({"init": st.floats(0, 8), "web": st.none() | st.floats(1, 20)}),
    mode=st.sampled_from(["bridge", "awsvpc"]),
)
def test_a_task_whose_state_is_lost_comes_to_its_end_and_runs_nothing_twice(
    seed: int, lost_at: float, with_keepsakes: bool, exits: dict[str, float], mode: NetworkMode
) -> None:
    needs = [{"containerName": "init", "condition": "COMPLETE"}]
    made = task(container("init", essential=False), container("web", dependsOn=needs), mode=mode)
    loop = looptime.new_event_loop()
    behaviours = {name: Behaviour(exits_after=each) for name, each in exits.items()}
    host = Burying(random.Random(seed), behaviours, rude=False)
    host.kept, host.buried = {}, {}

    async def live(store: MemoryStore, seconds: float) -> None:
        supervisor = Supervisor(made.id, host, store, Feed())
        host.on_change = supervisor.ring
        with suppress(TimeoutError):
            await asyncio.wait_for(supervisor.run(loop.time, RULES), seconds)

    async def scene() -> MemoryStore:
        await live(MemoryStore(made), lost_at)
        there = [host.kept[each] for each in host.containers]
        known = max(there, key=lambda it: it[0])[1] if there and with_keepsakes else None
        store = MemoryStore(made)
        progress = rebuilt(made, known, host.remains(), loop.time())
        await store.save(made.id, told(progress, made, "lost", loop.time()))
        await live(store, 40)
        if not store.progress(made.id).closed:
            await store.ask_to_stop(made.id, StopRequest(loop.time(), "asked"))
            await live(store, 40)
        return store

    try:
        store = loop.run_until_complete(scene())
    finally:
        loop.close()
    progress = store.progress(made.id)
    assert progress.closed
    assert host.gone()
    assert len(host.starts) == len(set(host.starts)), "run twice"
