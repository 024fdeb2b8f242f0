"""A store whose file was damaged, cut short or taken away: what can be read of it goes on."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.engine import database, schema
from agent.engine.schema import MIGRATIONS
from agent.engine.store import Store, StoreError
from agent.task.definition import TaskDefinition, read_task_definition
from agent.task.model import Intent, StopRequest, first_progress
from tests.worlds import container, running, task

ONE, TWO = (task(container("web"), task_id=each * 32) for each in "12")


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
    return tmp_path / "state.db"


def definition() -> TaskDefinition:
    containers = [{"name": "web", "image": "busybox", "memory": 64}]
    return read_task_definition({"family": "web", "containerDefinitions": containers}).definition


async def filled(path: Path) -> None:
    """A store of two tasks, of which the first was asked to stop, and one definition."""
    async with opened(path) as store:
        await store.register(definition(), 1.0)
        await store.accept(ONE, TWO)
        await store.ask_to_stop(ONE.id, StopRequest(2.0, "asked"))
        await store.save(ONE.id, running(Intent(ONE)))


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for each in statements:
            db.execute(each)


def kept(path: Path) -> list[Path]:
    """The damaged databases beside the new one, without what SQLite keeps beside them."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return [each for each in found if not each.name.endswith(("-wal", "-shm"))]


async def works(path: Path) -> None:
    """It takes a new task and keeps it."""
    new = task(container("web"), task_id="f" * 32)
    async with opened(path) as store:
        await store.accept(new)
    async with opened(path) as store:
        assert store.intents[new.id].task == new


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database")


def zeroes(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def bad_pages(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (size - 100))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def odd(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def no_table(path: Path) -> None:
    changed(path, "DROP TABLE intent")


def other_columns(path: Path) -> None:
    changed(path, "ALTER TABLE intent RENAME COLUMN body TO text")


def lone_progress(path: Path) -> None:
    changed(path, "PRAGMA foreign_keys=OFF", "INSERT INTO progress VALUES ('3', '{}')")


DAMAGES = (garbage, zeroes, bad_pages, half, odd, no_table, other_columns, lone_progress)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_put_aside_and_told(
    path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    await filled(path)
    assert callable(damage)
    damage(path)
    async with opened(path) as store:
        for task_id in store.intents:
            assert store.intents[task_id].task in (ONE, TWO)
    (aside,) = kept(path)
    assert f"{path} was damaged: " in caplog.text
    assert f"kept as {aside}" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await works(path)
    assert kept(path) == [aside]


async def test_a_sound_file_is_not_touched(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    async with opened(path) as store:
        assert not store.halves.doubtful
    assert kept(path) == []
    assert caplog.text == ""


@pytest.mark.parametrize("damage", ["'['", "'[]'", "'{}'", "CAST(x'ff00' AS TEXT)"])
async def test_one_bad_row_costs_no_other(
    path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    await filled(path)
    changed(path, f"UPDATE intent SET body = {damage} WHERE task_id = '{TWO.id}'")
    async with opened(path) as store:
        assert list(store.intents) == [ONE.id]
        assert store.intents[ONE.id].stop == StopRequest(2.0, "asked")
        assert store.progress(ONE.id) == running(Intent(ONE))
        assert store.halves.progress == {TWO.id: first_progress(TWO)}
        assert store.halves.doubtful
        assert store.definitions["web"][1].definition == definition()
    assert f"could not be read: intent {TWO.id}" in caplog.text
    assert "salvaged from it: 1 tasks, 1 halves of tasks, 1 task definitions" in caplog.text
    await works(path)


async def test_what_is_wrong_with_a_row_is_not_quoted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    changed(path, """UPDATE intent SET body = '{"task": "hunter2"}'""")
    async with opened(path) as store:
        assert store.intents == {}
    assert "hunter2" not in caplog.text


async def test_a_bad_definition_is_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    changed(path, "UPDATE definition SET body = '[]'")
    async with opened(path) as store:
        assert store.definitions == {}
        assert list(store.intents) == [ONE.id, TWO.id]
    assert "could not be read: definition web:1" in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE progress SET body = '7'",
        "DELETE FROM progress",
        "UPDATE progress SET body = json_remove(body, '$.containers.web')",
        "UPDATE progress SET body = json_remove(body, '$.networks.web')",
    ],
)
async def test_a_task_whose_facts_are_lost_is_half_a_task_until_it_is_adopted(
    path: Path, statement: str
) -> None:
    await filled(path)
    changed(path, f"{statement} WHERE task_id = '{ONE.id}'")
    for _ in range(2):  # the agent may end before it adopts it
        async with opened(path) as store:
            assert list(store.intents) == [TWO.id]
            (half,) = store.halves.intents.values()
            assert (half.task, half.stop) == (ONE, StopRequest(2.0, "asked"))
    async with opened(path) as store:
        await store.adopt([(store.halves.intents[ONE.id], running(Intent(ONE)))])
        assert store.progress(ONE.id) == running(Intent(ONE))
    async with opened(path) as store:
        assert set(store.intents) == {ONE.id, TWO.id}
        assert store.progress(ONE.id) == running(Intent(ONE))
        assert store.halves.intents == {}


async def test_what_is_adopted_replaces_a_task_and_no_definition(path: Path) -> None:
    async with opened(path) as store:
        await store.accept(ONE)
        registered = await store.register(definition(), 5.0)
        facts = running(Intent(ONE))
        others = [replace(registered, registered_at=9.0), replace(registered, revision=7)]
        await store.adopt([(Intent(ONE), facts), (Intent(TWO), first_progress(TWO))], others)
        before = dict(store.definitions["web"])
    async with opened(path) as store:
        assert store.progress(ONE.id) == facts
        assert list(store.intents) == [ONE.id, TWO.id]
        assert store.definitions["web"] == before == {1: registered, 7: others[1]}
        assert (await store.register(definition(), 1.0)).revision == 8


async def test_rows_on_both_sides_of_a_bad_page_are_read(path: Path) -> None:
    made = [task(container("web"), task_id=f"{number:032x}") for number in range(200)]
    async with opened(path) as store:
        await store.accept(*made)
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (count,) = db.execute("PRAGMA page_count").fetchone()
    middle = count // 2 * size
    data = bytearray(path.read_bytes())
    data[middle : middle + size] = b"\xee" * size
    path.write_bytes(data)
    async with opened(path) as store:
        assert len(store.intents) + len(store.halves.intents) > 150
    assert len(kept(path)) == 1
    await works(path)


async def unclean(path: Path, copy: Path) -> Path:
    """The files of a store whose agent was killed."""
    copy.mkdir()
    store = Store(path)
    await store.open()
    await store.accept(ONE)
    for each in path.parent.glob("state.*"):
        shutil.copy(each, copy)
    await store.close()
    return copy / path.name


async def test_with_all_files_a_crash_costs_nothing(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(await unclean(path, tmp_path / "left")) as store:
        assert list(store.intents) == [ONE.id]
        assert not store.halves.doubtful
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("state.db-wal", "state.db-wal is gone, and with it what was written last"),
        ("state.db", "the state store {left} is gone"),
    ],
)
async def test_a_file_that_is_gone_after_a_crash_is_told(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: str, said: str
) -> None:
    left = await unclean(path, tmp_path / "left")
    left.with_name(lost).unlink()
    async with opened(left) as store:
        assert store.halves.doubtful
    assert said.format(left=left) in caplog.text
    await works(left)


async def test_a_log_that_is_none_any_more_is_told(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = await unclean(path, tmp_path / "left")
    left.with_name("state.db-wal").write_bytes(bytes(5000))
    async with opened(left) as store:
        assert store.halves.doubtful
    assert "state.db-wal is damaged; what was written last is lost" in caplog.text


async def test_a_store_that_was_closed_and_deleted_is_a_new_one(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    path.unlink()
    async with opened(path) as store:
        assert not store.intents
        assert not store.halves.doubtful
    assert caplog.text == ""


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_a_row_that_a_migration_trips_over_costs_no_other(path: Path, version: int) -> None:
    await filled(path)
    changed(
        path,
        f"PRAGMA user_version = {version}",
        f"UPDATE progress SET body = '{{' WHERE task_id = '{TWO.id}'",
    )
    async with opened(path) as store:
        assert ONE.id in store.intents
        assert store.intents[ONE.id].stop == StopRequest(2.0, "asked")
        assert TWO.id in store.halves.intents


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    faulty = "DELETE FROM progress; CREATE TABLE more (x); SELECT nonsense;"
    for module in (schema, database):
        monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, faulty))
    with pytest.raises(StoreError, match=r"can't open the state store .*nonsense"):
        await Store(path).open()
    monkeypatch.undo()
    assert kept(path) == []
    async with opened(path) as store:
        assert store.progress(ONE.id) == running(Intent(ONE))


async def test_an_interrupted_salvage_is_finished(path: Path) -> None:
    await filled(path)
    path.rename(path.with_name("state.db.salvaged"))  # as between its last two steps
    async with opened(path) as store:
        assert list(store.intents) == [ONE.id, TWO.id]
    shutil.copy(path, path.with_name("state.db.salvaged"))  # as before its first
    async with opened(path) as store:
        assert list(store.intents) == [ONE.id, TWO.id]
    assert [each.name for each in path.parent.glob("*salvaged*")] == []


async def test_a_disk_without_room_for_a_salvage_leaves_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    changed(path, "UPDATE intent SET body = '[]'")

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("agent.engine.rows.write", full)
    with pytest.raises(StoreError, match="disk is full"):
        await Store(path).open()
    monkeypatch.undo()
    assert kept(path) == []
    async with opened(path) as store:
        assert len(store.halves.progress) == 2


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_whatever_bytes_are_wrong_the_agent_starts(
    tmp_path: Path, data: st.DataObject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    folder = tmp_path / os.urandom(4).hex()
    folder.mkdir()
    path = folder / "state.db"
    await filled(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(1, 600))] = data.draw(st.binary(max_size=600))
    version = int.from_bytes(content[60:64], "big")
    path.write_bytes(content)
    if not await starts(path):
        assert version > len(MIGRATIONS)
        return
    async with opened(path) as store:
        assert all(each.task in (ONE, TWO) for each in store.intents.values())
    await works(path)


async def starts(path: Path) -> bool:
    """Whether the store opens; it may be refused only as one of a newer version."""
    try:
        async with opened(path):
            return True
    except StoreError as error:
        if "newer Hostler" not in str(error):
            raise
        return False


async def test_a_schema_that_is_no_text_is_damage(path: Path) -> None:
    await filled(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE\x80TABLE"))
    async with opened(path) as store:
        assert not store.intents
    await works(path)
