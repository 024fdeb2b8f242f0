"""With harmless programs in containerd's place; no root needed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.containerd.daemon import Daemon, spawn

END_S = 30.0


@pytest.fixture
def pid(tmp_path: Path) -> Iterator[int]:
    """A spawned program that has told its environment and its session, and sleeps."""
    script = 'env; echo "session $(ps -o sid= -p $$ 2>/dev/null)"; exec sleep 60'
    pid = spawn(
        ["/bin/sh", "-c", script],
        {"PATH": os.environ["PATH"], "ONLY": "this"},
        pid_file=tmp_path / "pid",
        log=tmp_path / "log",
    )
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


async def until(path: Path, text: str) -> None:
    async with asyncio.timeout(END_S):
        while not path.exists() or text not in path.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_daemon_has_its_own_session_and_no_environment_but_the_given(
    pid: int, tmp_path: Path
) -> None:
    await until(tmp_path / "log", "session")
    assert os.getsid(pid) == pid != os.getsid(0)
    assert "ONLY=this" in (tmp_path / "log").read_text()
    assert "HOME=" not in (tmp_path / "log").read_text()


async def test_a_daemon_is_found_by_its_pid_file_and_its_end_is_seen(
    pid: int, tmp_path: Path
) -> None:
    await until(tmp_path / "pid", str(pid))
    found = Daemon.find(tmp_path / "pid")
    assert found is not None
    assert (found.pid, found.running) == (pid, True)
    assert not await found.ended_within(0.01)
    found.signal(signal.SIGTERM)
    assert await found.ended_within(END_S)
    found.signal(signal.SIGTERM)
    assert Daemon.find(tmp_path / "pid") is None
    found.release()
    found.release()


async def test_a_recycled_pid_is_not_taken_for_the_daemon(pid: int, tmp_path: Path) -> None:
    await until(tmp_path / "pid", str(pid))
    head, _, tail = (tmp_path / "pid").read_text().rpartition(")")
    fields = tail.split()
    fields[19] = str(int(fields[19]) - 1)
    (tmp_path / "pid").write_text(f"{head}) {' '.join(fields)}")
    assert Daemon.find(tmp_path / "pid") is None


@pytest.mark.parametrize("content", ["", "12", "garbage", "1 (x) S 1"])
async def test_a_pid_file_without_sense_names_nobody(content: str, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(content)
    assert Daemon.find(tmp_path / "pid") is None


async def test_no_pid_file_names_nobody(tmp_path: Path) -> None:
    assert Daemon.find(tmp_path / "pid") is None
