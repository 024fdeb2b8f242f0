"""Programs of others: run to their end, or started as daemons; always with a deadline."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agent.containerd.daemon import Daemon, spawn

PYTHON = sys.executable
DEADLINE_S = 60.0
READY_S = 30.0
STOP_S = 10.0
_LOOK_AGAIN_S = 0.02
_TAIL = 2000


Address = Path | tuple[str, int]
"""A unix socket, or host and port."""


class ProgramFailed(Exception):
    """A program did not do its work; the text says what it said."""


class Missing(Exception):
    """A peer can't take part here; the text says why."""


def installed(*names: str) -> None:
    """All these programs are on PATH. Raises Missing."""
    for name in names:
        if shutil.which(name) is None:
            raise Missing(f"{name} is not installed")


async def run(*command: str, env: Mapping[str, str] | None = None) -> str:
    """What the program said. Raises ProgramFailed if it fails or takes more than DEADLINE_S.

    Its output goes to a file, as a container that it leaves behind would hold a pipe open.
    """
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **(env or {})},
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ProgramFailed(f"{command[0]}: no end within {DEADLINE_S:.0f} s") from None
        said.seek(0)
        text = said.read().decode(errors="replace")
    if status != 0:
        raise ProgramFailed(f"{' '.join(command)} ended with {status}: {text[-_TAIL:].strip()}")
    return text


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program runs, its input and output being pipes. Ended at the end.

    In a session of its own, as daemons are: a busy kernel shares processors out by session, and a
    server that is in its client's fares otherwise.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def daemon(
    *command: str, env: Mapping[str, str], scratch: Path, ready: Address
) -> AsyncIterator[int]:
    """The program runs and serves at ``ready``; gives its pid. Ended at the end."""
    log = scratch / "log"
    process = Daemon.child(await asyncio.to_thread(_spawn, command, env, scratch, log))
    try:
        await _serving(process, ready, log)
        yield process.pid
    finally:
        process.signal(signal.SIGTERM)
        if not await process.ended_within(STOP_S):
            process.signal(signal.SIGKILL)
            await process.ended_within(STOP_S)
        process.release()


async def ended(pid: int) -> None:
    """The process, which need not be a child of ours, has ended. Raises TimeoutError."""
    try:
        process = Daemon(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return
    try:
        async with asyncio.timeout(DEADLINE_S):
            await process.ended()
    finally:
        process.release()


def _spawn(command: Sequence[str], env: Mapping[str, str], scratch: Path, log: Path) -> int:
    scratch.mkdir(parents=True, exist_ok=True)
    program = shutil.which(command[0]) or command[0]
    return spawn([program, *command[1:]], env, pid_file=scratch / "pid", log=log)


async def _serving(process: Daemon, ready: Address, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not await _connects(ready):
                if await process.ended_within(_LOOK_AGAIN_S):
                    raise ProgramFailed(f"it has ended; it said:\n{_tail(log)}")
    except TimeoutError:
        raise ProgramFailed(f"nothing serves {ready}; it said:\n{_tail(log)}") from None


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:].strip()


async def _connects(address: Address) -> bool:
    unix = isinstance(address, Path)
    target = str(address) if isinstance(address, Path) else address
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(probe, target)
        except OSError:
            return False
    return True
