"""The one thread of the networks: one thing after the other, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.host.network import networkthread
from agent.host.network.networkthread import NetworkThread
from cni.context import Context


class Opened:
    """Counts the contexts that are open, and knows their thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: list[threading.Thread] = []

    def __call__(self, state_dir: Path) -> Context:
        assert state_dir == self.folder
        self.open.append(threading.current_thread())
        sockets: Any = self
        return Context(sockets, sockets, sockets, state_dir)

    def close(self) -> None:
        assert threading.current_thread() in self.open

    def stop(self) -> None:
        self.open.remove(threading.current_thread())


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    made = Opened(tmp_path)
    monkeypatch.setattr(networkthread, "open_context", made)
    return made


async def test_all_work_is_done_in_the_thread_whose_sockets_are_open(
    tmp_path: Path, opened: Opened
) -> None:
    thread = NetworkThread(tmp_path, (Path("/bin"),))
    await thread.open()
    (own,) = opened.open
    assert own is not threading.current_thread()
    doers = [await thread.run(lambda _: threading.current_thread()) for _ in range(3)]
    assert doers == [own] * 3
    assert await thread.run(lambda runtime: runtime.cache_dir) == tmp_path
    assert await thread.run(lambda runtime: runtime.context) is thread.context
    assert thread.context.environ["CNI_PATH"] == "/bin"
    await thread.close()
    assert opened.open == []
    assert not own.is_alive()


@pytest.mark.usefixtures("opened")
async def test_work_is_done_one_after_the_other_as_it_came(tmp_path: Path) -> None:
    thread = NetworkThread(tmp_path, ())
    await thread.open()
    at_work, done = threading.Lock(), list[int]()

    def work(number: int) -> None:
        assert at_work.acquire(blocking=False), "two at once"
        threading.Event().wait(0.001)
        done.append(number)
        at_work.release()

    def numbered(number: int) -> Callable[[object], None]:
        return lambda _: work(number)

    await asyncio.gather(*(thread.run(numbered(each)) for each in range(20)))
    assert done == list(range(20))
    await thread.close()


@pytest.mark.usefixtures("opened")
async def test_what_the_work_raises_is_raised_and_the_thread_goes_on(tmp_path: Path) -> None:
    thread = NetworkThread(tmp_path, ())
    await thread.open()

    def fail(_: object) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await thread.run(fail)
    assert await thread.run(lambda _: 7) == 7
    await thread.close()


@pytest.mark.usefixtures("opened")
async def test_work_that_takes_too_long_is_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = NetworkThread(tmp_path, ())
    await thread.open()
    released = threading.Event()
    monkeypatch.setattr(networkthread, "DEADLINE_S", 0.05)
    with pytest.raises(TimeoutError):
        await thread.run(lambda _: released.wait(30))
    monkeypatch.setattr(networkthread, "DEADLINE_S", 30)
    released.set()
    assert await thread.run(lambda _: "again") == "again"
    await thread.close()


@pytest.mark.usefixtures("opened")
async def test_before_it_is_open_and_after_there_is_nothing_to_work_with(tmp_path: Path) -> None:
    thread = NetworkThread(tmp_path, ())
    with pytest.raises(RuntimeError, match="not open"):
        await thread.run(lambda _: None)
    await thread.open()
    await thread.close()
    with pytest.raises(RuntimeError, match="not open"):
        _ = thread.context
    await thread.close()


async def test_a_host_whose_sockets_cant_be_opened_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> Context:
        raise PermissionError("netlink: not permitted")

    monkeypatch.setattr(networkthread, "open_context", refuse)
    thread = NetworkThread(tmp_path, ())
    with pytest.raises(PermissionError, match="netlink"):
        await thread.open()
    await thread.close()
