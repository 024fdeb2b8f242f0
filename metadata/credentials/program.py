"""A program that is run for what it prints: without a shell and for a limited time.

It runs in a session of its own; when it is done, all that is left of its process group is killed.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from select import PIPE_BUF
from subprocess import PIPE, Popen
from typing import Final

OUTPUT_LIMIT: Final = 64 * 1024
SAID_LIMIT: Final = 200  # characters of what a failing program says
_REAP_S: Final = 5.0
_SHORT_OF: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # of files, processes
_OF_THE_AGENT: Final = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class ProgramError(Exception):
    """It can't be run. The text follows the program's name and quotes nothing that it printed."""


class ProgramUnavailable(ProgramError):
    """It can't be run now, or took too long; another time it may do."""


class _TooMuch(Exception):
    """The program prints without end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, what it printed, and what it said on standard error."""

    code: int
    printed: bytes = field(repr=False)
    said: bytes = field(repr=False)

    @property
    def ended(self) -> str:
        """The exit code or signal, in words that follow the program's name."""
        if self.code < 0:
            return f"was ended by signal {-self.code}"
        return f"ended with exit code {self.code}"


def inherited() -> dict[str, str]:
    """The agent's environment without what is meant for nobody but the agent."""
    return {name: value for name, value in os.environ.items() if name not in _OF_THE_AGENT}


async def run(
    words: Sequence[str], environment: Mapping[str, str], deadline_s: float, given: bytes = b""
) -> Outcome:
    """Runs program and arguments with ``given``, at most ``PIPE_BUF`` bytes, as its input.

    Raises ProgramError, ProgramUnavailable.
    """
    assert len(given) <= PIPE_BUF, "more could keep the loop waiting"
    # Nothing is awaited between its start and its end being taken care of.
    process = _start(words, environment)
    try:
        _feed(process, given)
        async with asyncio.timeout(deadline_s):
            printed, said = await _outputs(process)
            return Outcome(await _exit(process), printed, said)
    except TimeoutError:
        raise ProgramUnavailable(f"was not done after {deadline_s:g} s") from None
    except _TooMuch:
        raise ProgramError(f"printed more than {OUTPUT_LIMIT} bytes") from None
    finally:
        await _end(process)


def last_line(output: bytes) -> str:
    """The last line that is not blank, fit to be shown; "" if there is none."""
    lines = [each for each in output.decode(errors="replace").splitlines() if each.strip()]
    if not lines:
        return ""
    line = "".join(each if each.isprintable() else " " for each in lines[-1].strip())
    return line[:SAID_LIMIT]


def _start(words: Sequence[str], environment: Mapping[str, str]) -> Popen[bytes]:
    try:
        return Popen(
            words,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        text = f"can't be started: {why}"
        passes = isinstance(error, OSError) and error.errno in _SHORT_OF
        raise ProgramUnavailable(text) if passes else ProgramError(text) from None


def _feed(process: Popen[bytes], given: bytes) -> None:
    """The program has its input, or has ended without reading it."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(given)
        process.stdin.close()


class _Output(asyncio.Protocol):
    """Collects what comes out of a pipe. `changed` is set at its end, and when it is too much."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.read = b""
        self.ended = False
        self._changed = changed

    def data_received(self, data: bytes) -> None:
        if len(self.read) <= OUTPUT_LIMIT:
            self.read += data
        if len(self.read) > OUTPUT_LIMIT:
            self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._changed.set()


async def _outputs(process: Popen[bytes]) -> tuple[bytes, bytes]:
    """All that the process prints on its two outputs. Raises _TooMuch."""
    changed, loop = asyncio.Event(), asyncio.get_running_loop()
    with ExitStack() as transports:
        outputs = []
        for pipe in (process.stdout, process.stderr):
            transport, output = await loop.connect_read_pipe(lambda: _Output(changed), pipe)
            transports.callback(transport.close)
            outputs.append(output)
        while True:
            if any(len(each.read) > OUTPUT_LIMIT for each in outputs):
                raise _TooMuch
            if all(each.ended for each in outputs):
                break
            await changed.wait()
            changed.clear()
    printed, said = outputs
    return printed.read, said.read


async def _exit(process: Popen[bytes]) -> int:
    """The exit code of the process, which is reaped."""
    if process.poll() is None:
        descriptor, ended = os.pidfd_open(process.pid), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    return process.wait()


async def _end(process: Popen[bytes]) -> None:
    """Nothing of its process group runs, it is reaped, and its pipes are closed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):  # of what was written and never read
                pipe.close()
    with suppress(TimeoutError):  # it may hang in the kernel
        async with asyncio.timeout(_REAP_S):
            await _exit(process)
