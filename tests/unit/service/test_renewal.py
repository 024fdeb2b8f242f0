"""Starting anew: the configuration first, and what whoever started the agent is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import ConfigError
from agent.service import renewal
from agent.service.ending import Ending, Stopping
from agent.service.renewal import STATUS_LENGTH, Check, until_ended
from tests.fakes.servicemanager import ServiceManager


class Asked(Stopping):
    """What signals would do, without them."""

    def renew(self) -> None:
        self._hung_up(had_terminal=False)

    def end(self) -> None:
        self._end()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    started = ServiceManager(tmp_path / "notify")
    yield started
    started.close()


async def ended(stopping: Asked, check: Check) -> Ending | None:
    async with asyncio.timeout(10):
        await until_ended(stopping, check, "serving")
    return stopping.how


def refuse(why: str) -> Check:
    def check() -> None:
        raise ConfigError(why)

    return check


async def test_an_end_needs_no_configuration(manager: ServiceManager) -> None:
    stopping = Asked()
    stopping.end()
    assert await ended(stopping, refuse("never looked at")) is Ending.EXIT
    manager.until("STOPPING=1", 1)
    assert manager.told == ["STOPPING=1"]


async def test_with_a_good_configuration_it_makes_room(manager: ServiceManager) -> None:
    stopping, before = Asked(), time.monotonic_ns() // 1000
    stopping.renew()
    assert await ended(stopping, lambda: None) is Ending.SUCCESSOR
    manager.until("RELOADING=1", 1)
    stated, clock = manager.told
    assert stated == "RELOADING=1"
    name, _, told_us = clock.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(told_us) <= time.monotonic_ns() // 1000


async def test_with_a_wrong_one_it_goes_on_and_says_why(
    manager: ServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    stopping = Asked()
    stopping.renew()
    long = "HOSTLER_X is\nwrong" + " very" * STATUS_LENGTH

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(ended(stopping, refuse(long)))
        await asyncio.to_thread(manager.until, "READY=1", 1)
        assert stopping.how is None
        stopping.end()
    assert waiting.result() is Ending.EXIT
    status = next(each for each in manager.told if each.startswith("STATUS="))
    assert status.startswith("STATUS=serving; not reloaded: HOSTLER_X is wrong very")
    assert len(status) < STATUS_LENGTH + 50
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert "not reloaded, the agent goes on as it is configured: HOSTLER_X" in caplog.text


async def test_a_configuration_that_cant_be_read_in_time_is_wrong(
    manager: ServiceManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewal, "CHECK_S", 0.05)
    stopping, over = Asked(), threading.Event()
    stopping.renew()
    async with asyncio.TaskGroup() as group:
        group.create_task(ended(stopping, over.wait))
        await asyncio.to_thread(manager.until, "READY=1", 1)
        over.set()
        stopping.end()
    assert "can't be read within 0.05 s" in caplog.text


async def test_an_end_while_the_configuration_is_looked_at_is_an_end(
    manager: ServiceManager,
) -> None:
    stopping, loop = Asked(), asyncio.get_running_loop()
    stopping.renew()

    def check() -> None:
        asked = threading.Event()
        loop.call_soon_threadsafe(stopping.end)
        loop.call_soon_threadsafe(asked.set)
        assert asked.wait(10)

    assert await ended(stopping, check) is Ending.EXIT
    manager.until("STOPPING=1", 1)
