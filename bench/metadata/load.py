"""Load on one server from inside its network namespace, and what the server paid for it."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import programs
from bench.programs import ProgramFailed, started

SECONDS = 1
BACKGROUND = 40
"""Connections that keep a server busy; it takes 64, and the probe has some."""
LONGEST_S = 300
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves HTTP in the network namespace of process ``inside``."""

    name: str
    pid: int
    inside: int
    base: str

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command begins with to run in that namespace."""
        return ("nsenter", f"--net=/proc/{self.inside}/ns/net", "--")

    def used_s(self) -> float:
        """CPU seconds of the process so far, all threads."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


@dataclass(frozen=True, slots=True)
class Loaded:
    """One run: requests a second, percentiles of the time to an answer, CPU a request."""

    rate: float
    p50_s: float
    p99_s: float
    cpu_s: float


async def load(server: Server, path: str, connections: int) -> Loaded:
    """As many requests as so many connections can make. Raises ProgramFailed if any fails."""
    before = server.used_s()
    found = _outcome(await programs.run(*_wrk(server, path, connections, SECONDS)))
    cpu_s = server.used_s() - before
    return Loaded(
        rate=found["requests"] / found["seconds"],
        p50_s=found["p50_ms"] / 1e3,
        p99_s=found["p99_ms"] / 1e3,
        cpu_s=cpu_s / found["requests"],
    )


@dataclass(frozen=True, slots=True)
class Watched:
    """While a server was under a load of ``rate``: the 99th percentile of what a client waits."""

    rate: float
    p99_s: float


async def watch(
    server: Server, path: str, rate: float, meanwhile: Callable[[], Awaitable[None]]
) -> Watched:
    """Loads the server with about ``rate`` and asks beside that, until ``meanwhile`` has ended.

    Raises ProgramFailed if a request fails.
    """
    probe = ("nice", "-n-10", programs.PYTHON, "-m", "bench.metadata.probe", server.base + path)
    # A connection rests so long after each answer that all of them make the rate.
    rest_ms = str(round(BACKGROUND / rate * 1e3))
    wrk = _wrk(server, path, BACKGROUND, LONGEST_S, rest_ms)
    async with started(*wrk) as background, started(*server.enter, *probe) as probing:
        await meanwhile()
        asked, _ = await probing.communicate(b"")
        background.send_signal(signal.SIGINT)
        said, _ = await background.communicate()
    found, result = _outcome(said.decode()), json.loads(asked)
    if result["failed"]:
        raise ProgramFailed(f"{server.base}{path}: {result['failed']} requests failed")
    return Watched(found["requests"] / found["seconds"], result["p99_s"])


def _wrk(
    server: Server, path: str, connections: int, seconds: int, *arguments: str
) -> tuple[str, ...]:
    options = ("-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT))
    return (*server.enter, "wrk", *options, server.base + path, "--", *arguments)


def _outcome(said: str) -> dict[str, float]:
    """What ``wrk.lua`` says last."""
    found: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    if found["failed"]:
        raise ProgramFailed(f"{found['failed']} requests failed:\n{said}")
    return found
