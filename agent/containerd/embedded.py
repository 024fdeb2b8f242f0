"""A containerd of our own: started detached, found again after our restart, restarted if it ends.

Used by ``agent.app`` where the host has no containerd to share. It is the host's ``containerd``
program with its own root, state and socket. Containers belong to their shims, so they survive every
stop, crash and start of it. ``daemon`` holds the process; this file decides.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket as sockets
from pathlib import Path

from agent.containerd.client import Containerd
from agent.containerd.configfile import ContainerdMissing, prepared
from agent.containerd.daemon import Daemon, spawn
from agent.containerd.errors import ContainerdError

START_S = 30.0
"""From start to serving: loads every shim, for up to five seconds each when one hangs."""

STOP_S = 10.0
"""From SIGTERM to SIGKILL."""

_LOOK_AGAIN_S = 0.02
_STEADY_S = 60.0
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 10.0
_LOG_TAIL_BYTES = 2048
_NAMESPACE = "hostler"

log = logging.getLogger(__name__)


class EmbeddedError(Exception):
    """Our containerd can't be started or does not serve; the text says why and what to do."""


class EmbeddedContainerd:
    """containerd with its data in ``root`` (kept) and ``state`` (lost at reboot), on ``socket``."""

    def __init__(self, root: Path, state: Path, socket: Path) -> None:
        self.root = root
        self.state = state
        self.socket = socket
        self.log_file = root / "containerd.log"
        self._pid_file = state / "containerd.pid"
        self._daemon: Daemon | None = None
        self._stopping = False
        self._changing = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The daemon's process id, while it runs."""
        if self._daemon is None or not self._daemon.running:
            return None
        return self._daemon.pid

    async def start(self) -> None:
        """It serves: the one that an earlier agent left running, or else a new one.

        Raises EmbeddedError after ``START_S``, or as soon as the process ends.
        """
        self._stopping = False
        async with self._changing:
            await self._start()

    async def run(self) -> None:
        """Start it again whenever it ends, with growing delay, until ``stop`` or cancelled.

        ``start`` comes first. Being cancelled leaves the daemon running.
        """
        loop = asyncio.get_running_loop()
        delay, began = _FIRST_DELAY_S, loop.time()
        while True:
            if self._daemon is not None:
                await self._daemon.ended()
            if self._stopping:
                return
            if loop.time() - began > _STEADY_S:
                delay = _FIRST_DELAY_S
            log.warning("containerd has ended; starting it again in %.1f s", delay)
            await asyncio.sleep(delay)
            delay, began = min(delay * 2, _LONGEST_DELAY_S), loop.time()
            await self._start_again()

    async def stop(self) -> None:
        """It has ended, by SIGTERM or after ``STOP_S`` by SIGKILL. Containers run on."""
        self._stopping = True
        async with self._changing:
            daemon = self._running()
            if daemon is not None:
                await _end(daemon)

    def release(self) -> None:
        """Let go of the daemon, which runs on; ``start`` finds it again."""
        if self._daemon is not None:
            self._daemon.release()
            self._daemon = None

    def _running(self) -> Daemon | None:
        """The daemon that we hold, or else the one that runs by the pid file."""
        if self.pid is None:
            self.release()
            self._daemon = Daemon.find(self._pid_file)
        return self._daemon

    async def _start_again(self) -> None:
        async with self._changing:
            if self._stopping:
                return
            try:
                await self._start()
            except EmbeddedError as error:
                log.warning("containerd does not start: %s", error)

    async def _start(self) -> None:
        found = self._running()
        if found is not None and await self._adopted(found):
            return
        if await self._connects():
            raise EmbeddedError(
                f"another containerd serves {self.socket}; use that one, or give ours another path"
            )
        self.release()
        self._daemon = Daemon.child(await asyncio.to_thread(self._spawn))
        try:
            await self._until_serving(self._daemon)
        except EmbeddedError:
            await _end(self._daemon)
            raise

    async def _adopted(self, found: Daemon) -> bool:
        """Whether the one found serves; it is ended if it does not."""
        log.info("containerd runs already, pid %d", found.pid)
        try:
            await self._until_serving(found)
        except EmbeddedError as error:
            log.warning("ending it: %s", error)
            await _end(found)
            return False
        return True

    async def _until_serving(self, daemon: Daemon) -> None:
        try:
            async with asyncio.timeout(START_S):
                while not await self._serves():
                    if await daemon.ended_within(_LOOK_AGAIN_S):
                        raise EmbeddedError(f"containerd has ended; it said:\n{self._said()}")
        except TimeoutError:
            raise EmbeddedError(
                f"containerd, pid {daemon.pid}, does not serve {self.socket} after {START_S:.0f} s;"
                f" it said:\n{self._said()}"
            ) from None

    async def _serves(self) -> bool:
        # containerd listens last of all, so before that there is no need to trouble gRPC.
        if not await self._connects():
            return False
        async with Containerd(self.socket, _NAMESPACE) as client:
            try:
                await client.version()
            except ContainerdError:
                return False
        return True

    async def _connects(self) -> bool:
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.settimeout(0)
            try:
                await asyncio.get_running_loop().sock_connect(probe, str(self.socket))
            except OSError:
                return False
        return True

    def _spawn(self) -> int:
        try:
            command = prepared(self.root, self.state, self.socket)
        except ContainerdMissing as error:
            raise EmbeddedError(str(error)) from error
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        return spawn(
            command,
            # Shims inherit it: nothing of the agent's own, neither credentials nor NOTIFY_SOCKET.
            {"PATH": os.environ.get("PATH", os.defpath)},
            pid_file=self._pid_file,
            log=self.log_file,
        )

    def _said(self) -> str:
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(0, self.log_file.stat().st_size - _LOG_TAIL_BYTES))
                return file.read(_LOG_TAIL_BYTES).decode(errors="replace").strip()
        except FileNotFoundError:
            return "(nothing)"


async def _end(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    if await daemon.ended_within(STOP_S):
        return
    log.warning("containerd, pid %d, ignores SIGTERM: killing it", daemon.pid)
    daemon.signal(signal.SIGKILL)
    await daemon.ended_within(STOP_S)
