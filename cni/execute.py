"""Runs a program with a deadline and a limit to its output, in the calling thread's namespaces."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cni.errors import CNIError, Code

if TYPE_CHECKING:
    from subprocess import Popen

_LIMIT: Final = 4 << 20  # bytes; a result has a few hundred
_CHUNK: Final = 1 << 16
_BUSY_TRIES: Final = 50  # 100 ms apart; libcni tries five times, one second apart
_KILL_S: Final = 5.0


class Finished(NamedTuple):
    """How a program ended; a negative status is minus the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes


def run(program: Path, environ: Mapping[str, str], stdin: bytes, deadline_s: float) -> Finished:
    """Run `program` to its end. At the deadline, or when it prints too much, it is killed.

    All that it started and that stayed in its process group dies with it. Raises number 11 at the
    deadline, 5 when it cannot be run or printed too much.
    """
    try:
        process = _start(program, environ, stdin)
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot run {program}", str(error)) from error
    with process:
        try:
            output = _collect(process, program, deadline_s)
            return Finished(process.wait(_KILL_S), *output)
        except BaseException:
            _kill(process)
            raise


def _start(program: Path, environ: Mapping[str, str], stdin: bytes) -> "Popen[bytes]":
    from select import poll
    from subprocess import PIPE, Popen

    # A file, so that a program that reads nothing holds up nobody.
    source = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        os.write(source, stdin)
        for tries_left in range(_BUSY_TRIES, -1, -1):
            os.lseek(source, 0, os.SEEK_SET)
            try:
                return Popen(
                    [program],
                    stdin=source,
                    stdout=PIPE,
                    stderr=PIPE,
                    env=environ,
                    start_new_session=True,
                )
            except OSError as error:
                # It is being installed right now, or another thread forked meanwhile.
                if error.errno != errno.ETXTBSY or not tries_left:
                    raise
                poll().poll(100)
    finally:
        os.close(source)
    raise AssertionError


def _collect(process: "Popen[bytes]", program: Path, deadline_s: float) -> tuple[bytes, bytes]:
    """What it prints until it ends; what its children print later is not waited for."""
    from selectors import EVENT_READ, DefaultSelector
    from time import monotonic

    assert process.stdout is not None
    assert process.stderr is not None
    pipes = (process.stdout.fileno(), process.stderr.fileno())
    printed = {pipe: bytearray() for pipe in pipes}
    deadline = monotonic() + deadline_s
    ended = os.pidfd_open(process.pid)
    try:
        with DefaultSelector() as selector:
            for descriptor in (*pipes, ended):
                selector.register(descriptor, EVENT_READ)
            ready: set[int] = set()
            while ended not in ready:
                ready = {key.fd for key, _ in selector.select(max(0.0, deadline - monotonic()))}
                if not ready:
                    msg = f"{program} did not end within {deadline_s:g} s"
                    raise CNIError(Code.TRY_AGAIN_LATER, msg)
                for pipe in ready & printed.keys():
                    if not _drain(pipe, printed[pipe], program):
                        selector.unregister(pipe)
    finally:
        os.close(ended)
    for pipe in pipes:
        _drain(pipe, printed[pipe], program)
    return bytes(printed[pipes[0]]), bytes(printed[pipes[1]])


def _drain(pipe: int, into: bytearray, program: Path) -> bool:
    """Read what is there; whether more may come."""
    os.set_blocking(pipe, False)
    while True:
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return True
        into += chunk
        if len(into) > _LIMIT:
            raise CNIError(Code.IO_FAILURE, f"{program} printed more than {_LIMIT >> 20} MiB")
        if not chunk:
            return False


def _kill(process: "Popen[bytes]") -> None:
    from contextlib import suppress
    from signal import SIGKILL
    from subprocess import TimeoutExpired

    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)
    with suppress(TimeoutExpired):
        process.wait(_KILL_S)
