"""The agent's side of the log router: starting it, and asking it things.

The router is normally a service of its own (``hostler-logs.service``); where none answers, the
agent starts one in the background, which outlives it. Every request has a connection of its own,
so a router that was restarted is simply connected to. ``open`` and ``close`` are idempotent, which
is what lets a request that was cut off be sent again.
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import agent
from agent.logs.protocol import MAX_REPLY, SOCKET_NAME, ProtocolError, Stream, decode, encode

START_S = 10.0
"""Deadline for a router to start: it may wait five seconds for one that is just ending."""
REQUEST_S = 10.0
"""Deadline for requests that the router answers at once."""
EX_TEMPFAIL = 75
"""The router's status when another one serves the directory: someone else was faster."""
ATTEMPTS = 3
"""Routers that may die under one request before we stop blaming chance."""


class LogRouterError(Exception):
    """The router refused a request, or there is none and none can be started."""


class LogRouterTimeout(LogRouterError):
    """No answer in time. For ``close``: something still holds the container's output open."""


class _Gone(Exception):
    """Nobody listens, or the router ended before it answered."""


class LogRouter:
    """The log router of one run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir.absolute()
        self._starting = asyncio.Lock()
        self._begun: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        """Unless one answers a router is being started, and ``ensure_running`` waits for it."""
        async with self._starting:
            if self._begun is None and not await self._answers():
                self._begun = await self._start()

    async def ensure_running(self) -> None:
        """A router answers on the socket. Raises ``LogRouterError`` with what it said."""
        async with self._starting:
            process, self._begun = self._begun, None
            if process is None:
                if await self._answers():
                    return
                process = await self._start()
            await self._until_started(process)
            if not await self._answers():
                raise LogRouterError(f"the log router does not answer; see {self._stderr}")

    async def open(self, stream: Stream) -> None:
        """Both FIFOs exist and have a reader; what they carry goes to the stream's log."""
        await self._ask(REQUEST_S, op="open", stream=stream._asdict())

    async def close(self, container_id: str, deadline_s: float = REQUEST_S) -> None:
        """The log is complete and the FIFOs are gone. To be called once the task is deleted.

        Waits for the runtime to close its ends; raises ``LogRouterTimeout`` after ``deadline_s``.
        The router goes on closing then, and asking again is right. Succeeds if nothing is open.
        """
        await self._ask(deadline_s, op="close", id=container_id)

    async def streams(self) -> list[dict[str, Any]]:
        """For each open stream ``id``, ``driver``, ``ended``, ``dropped`` (lines), ``error``."""
        reply = await self._ask(REQUEST_S, op="list")
        streams: list[dict[str, Any]] = reply["streams"]
        return streams

    async def stop_if_idle(self) -> bool:
        """Whether the router, having no stream open, has ended; True if there was none.

        One that was begun is waited for.
        """
        await self._settle()
        try:
            async with asyncio.timeout(REQUEST_S):
                reply = await self._once({"op": "stop_if_idle"})
        except _Gone:
            return True
        except TimeoutError as error:
            raise LogRouterTimeout(f"no answer within {REQUEST_S:g} s") from error
        return bool(reply["stopped"])

    async def leave(self) -> None:
        """An idle router has ended, unless it is a service.

        That would be started at once, and race with the one that the next agent might start.
        """
        await self._settle()
        with suppress(_Gone, TimeoutError):
            async with asyncio.timeout(REQUEST_S):
                if not (await self._once({"op": "ping"})).get("service"):
                    await self.stop_if_idle()

    async def _settle(self) -> None:
        """One that was begun serves, or never will."""
        if self._begun is not None:
            with suppress(LogRouterError):
                await self.ensure_running()

    async def _ask(self, deadline_s: float, **request: Any) -> dict[str, Any]:
        what = request["op"]
        try:
            async with asyncio.timeout(deadline_s):
                for _ in range(ATTEMPTS):
                    try:
                        return await self._once(request)
                    except _Gone:
                        await self.ensure_running()
        except TimeoutError as error:
            raise LogRouterTimeout(f"{what}: no answer within {deadline_s:g} s") from error
        raise LogRouterError(f"{what}: the log router keeps ending; see {self._stderr}")

    async def _answers(self) -> bool:
        with suppress(_Gone, TimeoutError):
            async with asyncio.timeout(REQUEST_S):
                await self._once({"op": "ping"})
                return True
        return False

    async def _once(self, request: dict[str, Any]) -> dict[str, Any]:
        line = b""
        with suppress(ConnectionError, FileNotFoundError):
            path = self._run_dir / SOCKET_NAME
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
            try:
                writer.write(encode({"seq": 1, **request}))
                line = await reader.readline()
            finally:
                writer.close()
        if not line.endswith(b"\n"):
            raise _Gone
        try:
            reply = decode(line)
        except ProtocolError as error:
            raise LogRouterError(f"the log router's reply makes no sense: {error}") from error
        if not reply.get("ok"):
            raise LogRouterError(str(reply.get("error")))
        return reply

    async def _start(self) -> asyncio.subprocess.Process:
        """What ends as soon as a router that it leaves behind listens."""
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._stderr.open("ab") as stderr:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent.logs", "--dir", self._run_dir, "--detach"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=Path(agent.__file__).parent.parent,  # where -m finds the package
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"},
            )

    async def _until_started(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(START_S):
                status = await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise LogRouterTimeout(f"the log router does not start within {START_S:g} s") from error
        if status not in (0, EX_TEMPFAIL):
            raise LogRouterError(f"the log router does not start: {self._last_words()}")

    @property
    def _stderr(self) -> Path:
        return self._run_dir / "logs.stderr"

    def _last_words(self) -> str:
        lines = self._stderr.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"
