"""The store on a real disk: what it keeps, what it refuses, what a kill at any statement leaves."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engine.schema import MIGRATIONS
from agent.engine.store import Store, StoreError
from agent.task.definition import TaskDefinition, read_task_definition
from agent.task.model import (
    ContainerProgress,
    Image,
    NetworkProgress,
    Progress,
    Protection,
    Stop,
    StopCode,
    StopRequest,
    TaskId,
)
from agent.task.network import Attachment, NetworkInterface, PortBinding
from agent.task.records import Health, HealthRecord, Held, Step
from tests.worlds import container, task


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    store = Store(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


def definition(**fields: object) -> TaskDefinition:
    body = {
        "family": "web",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "web", "image": "busybox"}],
        **fields,
    }
    return read_task_definition(body).definition


async def test_what_was_kept_is_there_after_reopening(path: Path) -> None:
    first = replace(
        task(container("web", command=["x"]), at=1.5),
        overrides={"containerOverrides": [{"name": "web"}]},
        tags=({"key": "a", "value": "b"},),
        client_token="token",
    )
    second = task(container("db"), task_id="f" * 32)
    async with opened(path) as store:
        registered = await store.register(definition(), 12.5)
        await store.accept(first)
        await store.accept(second)
        await store.ask_to_stop(first.id, StopRequest(3.0, "asked", force=True))
        await store.protect(second.id, Protection(7.5))
        progress = store.progress(second.id).having("db", exit_code=3)
        await store.save(second.id, progress)
        before = dict(store.intents)
    async with opened(path) as store:
        assert dict(store.intents) == before
        assert list(store.intents) == [first.id, second.id]
        assert store.intents[first.id].task == first
        assert store.intents[first.id].stop == StopRequest(3.0, "asked", force=True)
        assert store.intents[second.id].protection == Protection(7.5)
        assert store.progress(second.id) == progress
        assert store.definitions == {"web": {1: registered}}


async def test_what_was_forgotten_is_gone(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        await store.forget(made.id)
        assert not store.intents
        with pytest.raises(KeyError):
            store.progress(made.id)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM progress").fetchone() == (0,)


async def test_a_task_is_open_from_acceptance_until_it_is_closed(path: Path) -> None:
    first, second = (task(container("web"), task_id=each * 32) for each in "ba")
    async with opened(path) as store:
        assert store.open_tasks == []
        await store.accept(first, second)
        assert store.open_tasks == [first.id, second.id]
        await store.save(first.id, replace(store.progress(first.id), stopped_at=1.0))
        assert store.open_tasks == [first.id, second.id]
        await store.save(first.id, replace(store.progress(first.id), closed_at=2.0))
        assert store.open_tasks == [second.id]
    async with opened(path) as store:
        assert store.open_tasks == [second.id]
        await store.forget(second.id)
        assert store.open_tasks == []


async def test_revisions_count_up_by_family_and_go_on_after_reopening(path: Path) -> None:
    async with opened(path) as store:
        numbers = [
            (await store.register(definition(family=family), 1.0)).revision
            for family in ("web", "db", "web")
        ]
    async with opened(path) as store:
        numbers.append((await store.register(definition(), 1.0)).revision)
    assert numbers == [1, 1, 2, 3]


async def test_tasks_are_accepted_all_or_none(path: Path) -> None:
    one, other = task(container("web")), task(container("web"), task_id="e" * 32)
    async with opened(path) as store:
        await store.accept(one)
        with pytest.raises(StoreError):
            await store.accept(other, one)
        assert list(store.intents) == [one.id]
    async with opened(path) as store:
        assert list(store.intents) == [one.id]


async def test_the_first_request_to_stop_stays_and_force_can_be_added(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        await store.ask_to_stop(made.id, StopRequest(1.0, "first"))
        await store.ask_to_stop(made.id, StopRequest(2.0, "second", force=True))
        await store.ask_to_stop(made.id, StopRequest(3.0, "third"))
        assert store.intents[made.id].stop == StopRequest(1.0, "first", force=True)


async def test_requests_to_stop_that_come_together_lose_nothing(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        async with asyncio.TaskGroup() as group:
            for at, force in ((1.0, False), (2.0, True), (3.0, False)):
                request = StopRequest(at, f"{at}", force)
                group.create_task(store.ask_to_stop(made.id, request))
        assert store.intents[made.id].stop == StopRequest(1.0, "1.0", force=True)
    async with opened(path) as store:
        assert store.intents[made.id].stop == StopRequest(1.0, "1.0", force=True)


async def test_the_last_word_on_protection_counts(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        for each in (Protection(1.0), Protection(9.0), Protection(5.0)):
            await store.protect(made.id, each)
        assert store.intents[made.id].protection == Protection(5.0)
        await store.protect(made.id, None)
        assert store.intents[made.id].protection is None
    async with opened(path) as store:
        assert store.intents[made.id].protection is None


async def test_a_stop_and_a_protection_that_come_together_are_both_kept(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        async with asyncio.TaskGroup() as group:
            group.create_task(store.protect(made.id, Protection(5.0)))
            group.create_task(store.ask_to_stop(made.id, StopRequest(1.0, "asked")))
            group.create_task(store.protect(made.id, Protection(6.0)))
        kept = store.intents[made.id]
        assert (kept.stop, kept.protection) == (StopRequest(1.0, "asked"), Protection(6.0))
    async with opened(path) as store:
        assert store.intents[made.id] == kept


async def test_an_intent_from_before_there_was_protection_is_read(path: Path) -> None:
    made = task(container("web"))
    async with opened(path) as store:
        await store.accept(made)
        await store.ask_to_stop(made.id, StopRequest(1.0, "asked"))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE intent SET body = json_remove(body, '$.protection')")
        assert "protection" not in db.execute("SELECT body FROM intent").fetchone()[0]
    async with opened(path) as store:
        assert store.intents[made.id].protection is None
        assert store.intents[made.id].stop == StopRequest(1.0, "asked")


async def test_a_second_agent_is_refused_until_the_first_has_ended(path: Path) -> None:
    async with opened(path):
        with pytest.raises(StoreError, match="another agent uses"):
            await Store(path).open()
    async with opened(path):
        pass


async def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="written by a newer Hostler"):
        await Store(path).open()


async def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't open the state store"):
        await Store(tmp_path / "file" / "state.db").open()


async def test_nobody_else_can_read_the_state(path: Path) -> None:
    async with opened(path) as store:
        await store.accept(task(container("web")))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {modes["state.db"], modes["state.db-wal"], modes["state.db-shm"]} == {0o600}


async def test_nothing_is_written_to_a_closed_store(path: Path) -> None:
    store = Store(path)
    with pytest.raises(StoreError, match="closed"):
        await store.accept(task(container("web")))
    with pytest.raises(StoreError, match="closed"):
        await store.check()
    await store.close()


async def test_a_store_that_could_be_written_checks_well_without_a_write(path: Path) -> None:
    async with opened(path) as store:
        wal = path.with_name("state.db-wal")
        before = wal.stat()
        await store.check()
        assert wal.stat() == before


@pytest.mark.parametrize(
    ("flag", "blocks", "said"),
    [(os.ST_RDONLY, 1000, "is mounted read-only"), (0, 255, "is full: free some space")],
)
async def test_a_disk_that_takes_no_more_is_found_by_checking(
    path: Path, monkeypatch: pytest.MonkeyPatch, flag: int, blocks: int, said: str
) -> None:
    answer = SimpleNamespace(f_flag=flag, f_bavail=blocks, f_frsize=4096)
    async with opened(path) as store:
        await store.check()
        monkeypatch.setattr(os, "statvfs", lambda _: answer)
        with pytest.raises(StoreError, match=f"the file system of {path.parent} {said}"):
            await store.check()


async def test_a_directory_that_went_away_is_found_by_checking(path: Path) -> None:
    async with opened(path) as store:
        moved = path.parent.rename(path.parent.with_name("moved"))
        with pytest.raises(StoreError, match=f"can't look at {path.parent}: "):
            await store.check()
        moved.rename(path.parent)


async def test_a_full_disk_is_an_error_and_passes(path: Path) -> None:
    async with opened(path) as store:
        await store._file._run(lambda: limit_pages(store, 20))
        with pytest.raises(StoreError, match=r"can't write .*full"):
            await accept_many(store)
        kept = list(store.intents)
        assert kept
        await store._file._run(lambda: limit_pages(store, 10_000))
        await store.accept(task(container("web"), task_id="f" * 32))
    async with opened(path) as store:
        assert list(store.intents) == [*kept, "f" * 32]


async def accept_many(store: Store) -> None:
    for number in range(1000):
        await store.accept(task(container("web"), task_id=f"{number:032x}"))


def limit_pages(store: Store, pages: int) -> None:
    """Makes the database fail as a full disk does when it would grow beyond ``pages``."""
    assert store._file._db is not None
    store._file._db.execute(f"PRAGMA max_page_count = {pages}").fetchone()


numbers = st.floats(allow_nan=False, allow_infinity=False)
times = st.none() | numbers
texts = st.lists(st.text(), max_size=2).map(tuple)
images = st.builds(Image, st.text(), st.text(), st.text(), st.none() | st.integers(1, 64))
ports = st.builds(PortBinding, st.text(), st.integers(), st.integers(), st.text(), st.integers())
attachments = st.builds(
    Attachment,
    mode=st.text(),
    ipv4=st.text(),
    prefix=st.integers(),
    ports=st.lists(ports, max_size=2).map(tuple),
    ipv6=st.text(),
    secondary=texts,
    dns_servers=texts,
)
networks = st.builds(NetworkProgress, st.none() | attachments, st.booleans())
interfaces = st.builds(
    NetworkInterface,
    id=st.text(),
    kind=st.sampled_from(["nic", "vlan", "macvlan"]),
    vlan=st.integers(),
    addresses=texts,
    dns_search=texts,
    subnet=st.text(),
)
records = st.builds(
    HealthRecord,
    status=st.sampled_from(Health),
    since=times,
    streak=st.integers(),
    probed_at=times,
    exit_code=st.none() | st.integers(),
    output=st.text(),
)
facts = st.builds(
    ContainerProgress,
    image=st.none() | images,
    created_at=times,
    started_at=times,
    ended=st.booleans(),
    finished_at=times,
    exit_code=st.none() | st.integers(),
    reason=st.text(),
    stop_sent_at=times,
    kill_sent_at=times,
    health=records,
)
progresses = st.builds(
    Progress,
    containers=st.fixed_dictionaries({"web": facts}),
    networks=st.fixed_dictionaries({"web": networks}),
    interface=st.none() | interfaces,
    interface_at=times,
    stop=st.none() | st.builds(Stop, st.sampled_from(StopCode), st.text(), numbers),
    pull_started_at=times,
    pull_stopped_at=times,
    started_at=times,
    execution_stopped_at=times,
    stopped_at=times,
    closed_at=times,
    held=st.dictionaries(st.text(), st.builds(Held, numbers, st.integers(), st.text()), max_size=2),
    timeline=st.lists(
        st.builds(Step, numbers, st.text(), st.text(), times, st.text()), max_size=3
    ).map(tuple),
)


@settings(max_examples=40, deadline=None)
@given(progress=progresses)
def test_any_progress_comes_back_as_it_was(progress: Progress) -> None:
    made = task(container("web"))

    async def there_and_back(path: Path) -> Progress:
        async with opened(path) as store:
            await store.accept(made)
            await store.save(made.id, progress)
        async with opened(path) as store:
            return store.progress(made.id)

    with TemporaryDirectory() as folder:
        assert asyncio.run(there_and_back(Path(folder) / "state.db")) == progress


CRASHES = 40
CRASHING = """
import asyncio, json, os, signal, sys
from pathlib import Path
from agent.engine.store import Store
from agent.task.model import StopRequest
from tests.worlds import container, task

async def life(path, statements):
    store = Store(path)
    await store.open()
    left = iter(range(statements))
    def die(_):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    store._file._db.set_trace_callback(die)
    def say(*words):
        os.write(1, (json.dumps([statements, *words]) + "\\n").encode())
    for number in range(2):
        one, two = (task(container("web"), task_id=f"{number}{each}" * 16) for each in "ab")
        await store.accept(one, two)
        say("accepted", one.id, two.id)
        await store.ask_to_stop(one.id, StopRequest(1.0, "asked"))
        say("stopped", one.id)
        await store.save(two.id, store.progress(two.id).having("web", exit_code=7))
        say("saved", two.id)
        await store.forget(one.id)
        say("forgotten", one.id)
    os._exit(0)

for statements in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        asyncio.run(life(Path(sys.argv[1]) / str(statements) / "state.db", statements))
    os.waitpid(child, 0)
"""


async def test_a_kill_at_any_statement_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    script = [sys.executable, "-c", CRASHING, str(tmp_path), str(CRASHES)]
    done = subprocess.run(script, capture_output=True, check=True, timeout=110, text=True)
    assert done.stderr == ""
    answers: dict[int, list[list[str]]] = {number: [] for number in range(CRASHES)}
    for line in done.stdout.splitlines():
        statements, *words = json.loads(line)
        answers[statements].append(words)
    assert not answers[0], "the first life died before its first answer"
    assert len(answers[CRASHES - 1]) == 8, "the last life was long enough to end"
    for statements, said in answers.items():
        await check_after_crash(tmp_path / str(statements) / "state.db", said)


async def check_after_crash(path: Path, said: list[list[str]]) -> None:
    async with opened(path) as store:
        for what, *ids in said:
            for task_id in map(TaskId, ids):
                check_answer(store, what, task_id, said)
        for number in range(2):
            one, two = (TaskId(f"{number}{each}" * 16) for each in "ab")
            assert one not in store.intents or two in store.intents, "accepted together"
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT (SELECT count(*) FROM intent), count(*) FROM progress")
            assert rows.fetchone() == (len(store.intents), len(store.intents)), "half a task"


def check_answer(store: Store, what: str, task_id: TaskId, said: list[list[str]]) -> None:
    later = [words[0] for words in said if task_id in words]
    match what:
        case "forgotten":
            assert task_id not in store.intents
        case "saved":
            assert store.progress(task_id).containers["web"].exit_code == 7
        case "stopped" if "forgotten" not in later and task_id in store.intents:
            assert store.intents[task_id].stop == StopRequest(1.0, "asked")
        case "accepted" if later == ["accepted"]:
            assert task_id in store.intents
