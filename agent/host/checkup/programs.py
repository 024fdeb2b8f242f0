"""Running programs of the host that may hang, or say more than anybody wants to read. Blocking."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TypeAlias

DEADLINE_S = 5.0
MOST = 256 * 1024
"""Bytes that are read of what a program says."""

_REAPED_S = 1.0
_CHUNK = 65536


class NotRun(Exception):
    """The program is not there, or came to no end; the text says which."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program left: its exit code, its words, and whether there were more (``cut``)."""

    code: int
    out: str
    err: str = ""
    cut: bool = False


Run: TypeAlias = Callable[..., Ran]
"""``run``, or what stands for it in a test."""


def run(*command: str, deadline_s: float = DEADLINE_S, most: int = MOST) -> Ran:
    """Runs the command to its end, or until it has said ``most`` bytes. Raises NotRun."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
        )
    except FileNotFoundError:
        raise NotRun(f"there is no program {command[0]}") from None
    except OSError as error:
        raise NotRun(f"{command[0]} can't be run: {error.strerror}") from None
    said = _Said(most)
    try:
        in_time = said.listen(process, time.monotonic() + deadline_s)
        if in_time and not said.cut:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_REAPED_S)
    finally:
        code = _ended(process)
    if not in_time:
        raise NotRun(f"{command[0]} did not come to an end within {deadline_s:g} s")
    return Ran(0 if said.cut else code, said.out, said.err, said.cut)


class _Said:
    """The words of a process, up to ``most`` bytes together."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._out, self._err = bytearray(), bytearray()

    @property
    def out(self) -> str:
        return self._out.decode(errors="replace")

    @property
    def err(self) -> str:
        return self._err.decode(errors="replace")

    @property
    def cut(self) -> bool:
        return self._left <= 0

    def listen(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Reads until both streams have ended or enough was said; False if time is over first."""
        with selectors.DefaultSelector() as selector:
            for stream, into in ((process.stdout, self._out), (process.stderr, self._err)):
                selector.register(_there(stream), selectors.EVENT_READ, into)
            while selector.get_map() and not self.cut:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    return False
                for key, _ in ready:
                    self._take(selector, key)
        return True

    def _take(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, max(1, min(_CHUNK, self._left)))
        if not chunk:
            selector.unregister(key.fileobj)
        key.data.extend(chunk)
        self._left -= len(chunk)


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # it is a pipe
    return stream


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; killed if it still runs. One that not even that ends is left alone."""
    if process.poll() is None:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_REAPED_S)
    for stream in (process.stdout, process.stderr):
        _there(stream).close()
    return -1 if process.returncode is None else process.returncode
