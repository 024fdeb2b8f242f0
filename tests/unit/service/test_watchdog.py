"""When the agent says that it is well, and when it falls silent."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.engine.store import Store
from agent.service import watchdog
from agent.service.watchdog import PING, interval_s, keep_telling
from tests.fakes.servicemanager import ServiceManager

OWN = str(os.getpid())


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    started = ServiceManager(tmp_path / "notify")
    yield started
    started.close()


class Complaints(logging.Handler):
    """What the watchdog logs."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        assert "does not answer" in record.getMessage()
        self._heard.set()

    async def another(self) -> None:
        self._heard.clear()
        await self._heard.wait()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    handler = Complaints()
    watchdog.log.addHandler(handler)
    yield handler
    watchdog.log.removeHandler(handler)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": OWN}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_third_of_what_systemd_waits(environ: Mapping[str, str], expected: float | None) -> None:
    assert interval_s(environ) == expected


async def test_nothing_is_told_to_who_does_not_wait(manager: ServiceManager) -> None:
    async def never_asked() -> None:
        raise AssertionError

    async with asyncio.timeout(5):
        await keep_telling(None, never_asked)
    assert manager.told == []


async def test_it_speaks_while_the_store_answers_and_only_then(
    manager: ServiceManager, tmp_path: Path, complaints: Complaints
) -> None:
    store, stuck = Store(tmp_path / "state.db"), threading.Event()
    await store.open()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        telling = group.create_task(keep_telling(0.02, store.answers))
        await asyncio.to_thread(manager.until, PING, 3)
        store._file._thread.submit(stuck.wait)
        await complaints.another()
        await asyncio.to_thread(manager.settle)
        silent = manager.count(PING)
        await complaints.another()
        await complaints.another()
        await asyncio.to_thread(manager.settle)
        assert manager.count(PING) == silent
        stuck.set()
        await asyncio.to_thread(manager.until, PING, silent + 2)
        await store.close()  # an agent that ends is well
        silent = manager.count(PING)
        await asyncio.to_thread(manager.until, PING, silent + 2)
        telling.cancel()


async def test_a_store_that_is_not_open_yet_is_no_reason_for_silence(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    async with asyncio.timeout(5):
        await store.answers()
    await store.close()
