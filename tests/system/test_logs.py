"""The log router as a process: killed, restarted, flooded, out of disk.

A plain process writes to the FIFOs as the runtime's shim would: it holds both ends of each.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from agent.host import logrouter
from agent.host.logrouter import LogRouter, LogRouterError, LogRouterTimeout
from agent.logs.protocol import SOCKET_NAME, Stream, decode
from agent.logs.reader import LogEntry, read

DEADLINE_S = 60.0
"""For what takes a second or two when the machine has nothing else to do."""

# Writes numbered lines to FIFOs, each round of them when told on its standard input, and closes
# the FIFOs when that ends.
WRITER = """
import os, sys
count, rounds, *paths = sys.argv[1:]
ends = [(os.open(p, os.O_WRONLY), os.open(p, os.O_RDONLY | os.O_NONBLOCK)) for p in paths]
files = [os.fdopen(write, "w") for write, read in ends]
for number in range(int(count)):
    if number % (int(count) // int(rounds)) == 0:
        sys.stdin.readline()
    for file in files:
        file.write(f"{number} and some more text to make it a line\\n")
        if number % 8 == 0:
            file.flush()
for file in files:
    file.flush()
print("written", flush=True)
sys.stdin.read()
"""


class Bench:
    """One run directory with its router, whoever started it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.router = LogRouter(folder / "run")

    def stream(self, name: str, **options: str) -> Stream:
        return Stream(
            name,
            str(self.folder / "logs" / f"{name}.log"),
            str(self.folder / f"{name}-out"),
            str(self.folder / f"{name}-err"),
            options={key.replace("_", "-"): value for key, value in options.items()},
        )

    async def pid(self) -> int:
        reader, writer = await asyncio.open_unix_connection(self.folder / "run" / SOCKET_NAME)
        writer.write(b'{"seq":1,"op":"ping"}\n')
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        if not line:
            raise ConnectionResetError("the router is just ending")
        pid = decode(line)["pid"]
        assert isinstance(pid, int)
        return pid

    async def end(self, number: signal.Signals) -> None:
        """Ends the router, if there is one, and waits until it is gone."""
        try:
            process = os.pidfd_open(pid := await self.pid())
        except (ConnectionError, FileNotFoundError, ProcessLookupError):
            return
        os.kill(pid, number)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process, gone.set)
        async with asyncio.timeout(DEADLINE_S):
            await gone.wait()
        loop.remove_reader(process)
        os.close(process)

    def entries(self, name: str) -> list[LogEntry]:
        got: list[LogEntry] = []
        cursor = None
        while True:
            entries, after = read(self.folder / "logs" / f"{name}.log", cursor=cursor)
            got += entries
            if after == cursor:
                return got
            cursor = after


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(logrouter, "START_S", DEADLINE_S)
    bench = Bench(tmp_path)
    yield bench
    await bench.end(signal.SIGKILL)


@pytest.fixture
def writers() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(count: int, *fifos: str | None, rounds: int = 1) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(count), str(rounds), *filter(None, fifos)]
        started.append(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0
            )
        )
        if rounds == 1 and started[-1].stdin is not None:
            started[-1].stdin.write("go\n")
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def seen(log: Path) -> os.stat_result | None:
    """The file as it is; None before its first line, and while it is rotated."""
    try:
        return log.stat()
    except FileNotFoundError:
        return None


async def written(writer: subprocess.Popen[str], deadline_s: float = DEADLINE_S) -> None:
    assert writer.stdout is not None
    async with asyncio.timeout(deadline_s):
        assert await asyncio.to_thread(writer.stdout.readline) == "written\n"


async def within(deadline_s: float, condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - files and other processes have no events
            await asyncio.sleep(0.01)


def numbers(entries: list[LogEntry], stream: str) -> list[int]:
    return [int(entry.text.split()[0]) for entry in entries if entry.stream == stream]


async def test_every_line_arrives_once_and_in_order_however_often_the_router_is_killed(
    bench: Bench, writers: Callable[..., subprocess.Popen[str]]
) -> None:
    stream = bench.stream("c1", max_size="1m", max_file="99")
    await bench.router.open(stream)
    writer = writers(50_000, stream.stdout, stream.stderr, rounds=10)
    assert writer.stdin is not None
    log = Path(stream.log_path)
    for turn in range(10):
        before = seen(log)

        async def has_grown(before: os.stat_result | None = before) -> bool:
            return seen(log) not in (None, before)

        writer.stdin.write("go\n")
        await within(DEADLINE_S, has_grown)
        await bench.end(signal.SIGTERM if turn % 4 == 3 else signal.SIGKILL)
        await bench.router.ensure_running()
    await written(writer)
    writer.communicate()
    await bench.router.close("c1", deadline_s=DEADLINE_S)
    entries = bench.entries("c1")
    assert numbers(entries, "stdout") == list(range(50_000))
    assert numbers(entries, "stderr") == list(range(50_000))
    assert all(entry.text.endswith("make it a line\n") for entry in entries)
    assert len(list(log.parent.iterdir())) > 5


async def test_close_waits_for_the_end_of_the_output(
    bench: Bench, writers: Callable[..., subprocess.Popen[str]]
) -> None:
    stream = bench.stream("c1")
    await bench.router.open(stream)
    writer = writers(1000, stream.stdout, stream.stderr)
    await written(writer)
    with pytest.raises(LogRouterTimeout):
        await bench.router.close("c1", deadline_s=0.2)
    writer.communicate()
    await bench.router.close("c1", deadline_s=DEADLINE_S)
    assert len(bench.entries("c1")) == 2000
    assert await bench.router.streams() == []
    assert not Path(stream.stdout or "").exists()


async def test_a_full_disk_holds_nobody_up_and_is_counted(
    bench: Bench, writers: Callable[..., subprocess.Popen[str]]
) -> None:
    disk = bench.folder / "logs"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        stream = bench.stream("c1")
        (disk / "ballast").write_bytes(b"x" * 128 * 1024)
        await bench.router.open(stream)
        writer = writers(20_000, stream.stdout)
        await written(writer)  # it was not held up

        async def all_read() -> bool:
            (state,) = await bench.router.streams()
            got = len(bench.entries("c1"))
            return int(state["dropped"]) + got == 20_000 and "No space" in str(state["error"])

        await within(DEADLINE_S, all_read)
        (disk / "ballast").unlink()
        late = os.open(stream.stdout or "", os.O_WRONLY)
        os.write(late, b"20000 after the flood\n")
        os.close(late)
        writer.communicate()
        await bench.router.close("c1", deadline_s=DEADLINE_S)
        got = numbers(bench.entries("c1"), "stdout")
        assert got == [*range(len(got) - 1), 20_000]
    finally:
        await bench.end(signal.SIGKILL)
        subprocess.run(["umount", disk], check=True)


async def test_a_noisy_container_does_not_delay_a_quiet_one(bench: Bench) -> None:
    noisy, quiet = bench.stream("noisy", max_file="2"), bench.stream("quiet")
    await bench.router.open(noisy)
    await bench.router.open(quiet)
    loud, soft = (os.open(stream.stdout or "", os.O_WRONLY) for stream in (noisy, quiet))
    over = threading.Event()

    def shout() -> None:
        while not over.is_set():
            os.write(loud, b"x" * 99 + b"\n")

    thread = threading.Thread(target=shout)
    thread.start()
    try:
        for number in range(20):
            os.write(soft, f"{number}\n".encode())

            async def heard(count: int = number + 1) -> bool:
                return len(bench.entries("quiet")) == count

            await within(DEADLINE_S, heard)  # in vain if it waited for a pause: there is none
    finally:
        over.set()
        thread.join()
        os.close(loud)
        os.close(soft)


async def test_the_router_outlives_whoever_started_it_and_stops_when_idle(bench: Bench) -> None:
    await bench.router.open(bench.stream("c1"))
    pid = await bench.pid()
    assert os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert await LogRouter(bench.folder / "run").stop_if_idle() is False
    await bench.router.close("c1")
    assert await bench.router.stop_if_idle() is True
    await bench.router.ensure_running()
    assert await bench.pid() != pid


async def test_a_router_that_was_begun_is_waited_for_by_whoever_needs_it(bench: Bench) -> None:
    await bench.router.stop_if_idle()
    await bench.router.begin()
    await bench.router.begin()
    await bench.router.open(bench.stream("c1"))
    pid = await bench.pid()
    await bench.router.ensure_running()
    assert await bench.pid() == pid
    await bench.router.close("c1")
    assert await bench.router.stop_if_idle() is True


async def test_a_router_that_was_begun_in_vain_is_stopped_before_it_is_needed(
    bench: Bench,
) -> None:
    await bench.router.stop_if_idle()
    await bench.router.begin()
    assert await bench.router.stop_if_idle() is True

    async def gone() -> bool:
        return not (bench.folder / "run" / SOCKET_NAME).exists()

    await within(DEADLINE_S, gone)


async def test_two_agents_start_one_router(bench: Bench) -> None:
    others = [LogRouter(bench.folder / "run") for _ in range(3)]
    results = await asyncio.gather(
        *(router.ensure_running() for router in others), return_exceptions=True
    )
    assert results == [None, None, None]


async def test_the_router_is_small(bench: Bench) -> None:
    for number in range(50):
        await bench.router.open(bench.stream(f"c{number}"))
    status = Path(f"/proc/{await bench.pid()}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert int(fields["VmRSS"].split()[0]) < 16 * 1024


async def test_a_router_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "logs.lock").mkdir()
    with pytest.raises(LogRouterError, match=r"Is a directory.*logs\.lock"):
        await LogRouter(tmp_path / "run").ensure_running()
    begun = LogRouter(tmp_path / "run")
    await begun.begin()
    assert await begun.stop_if_idle() is True
    await begun.begin()
    with pytest.raises(LogRouterError, match="Is a directory"):
        await begun.ensure_running()


def test_a_wrong_command_line_is_answered_with_the_right_one() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agent.logs"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 64
    assert json.dumps(result.stderr).startswith('"usage: ')
