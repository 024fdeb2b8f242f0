"""A thread in which networks are changed.

Plugins block for a few milliseconds and share sockets, so their work is done one after the other,
away from the event loop. The agent has two: one for its own plugins, and one for networks with
foreign plugins, which may take seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from cni.context import Context, open_context
from cni.runtime.chain import Runtime

DEADLINE_S = 60.0
"""As long as the ECS agent waits for its network plugins."""

T = TypeVar("T")


@asynccontextmanager
async def open_thread(run_dir: Path, path: tuple[Path, ...]) -> AsyncIterator[NetworkThread]:
    """A thread whose plugins keep what they must below ``run_dir``, and find others in ``path``.

    Nothing that is attached is touched at its end. Raises OSError.
    """
    thread = NetworkThread(run_dir, path)
    await thread.open()
    try:
        yield thread
    finally:
        await thread.close()


class NetworkThread:
    """The thread with the plugins' runtime. ``open`` before use, ``close`` at the end."""

    def __init__(self, run_dir: Path, path: tuple[Path, ...]) -> None:
        self._run_dir = run_dir
        self._path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._runtime: Runtime | None = None

    async def open(self) -> None:
        """Its sockets are open, in the agent's own network namespace. Raises OSError."""
        self._runtime = await self._submit(self._open)

    async def close(self) -> None:
        """Sockets and thread are gone; nothing that is attached is touched."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await self._submit(runtime.context.close)
        self._executor.shutdown()

    @property
    def context(self) -> Context:
        """What the plugins work with; for use in the thread only."""
        return self._opened().context

    async def run(self, work: Callable[[Runtime], T]) -> T:
        """What ``work`` gives. Raises what it raises, TimeoutError after a minute."""
        runtime = self._opened()
        return await self._submit(lambda: work(runtime))

    def _opened(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("the network thread is not open")
        return self._runtime

    async def _submit(self, work: Callable[[], T]) -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _open(self) -> Runtime:
        context = open_context(self._run_dir)
        return Runtime(context, cache_dir=self._run_dir, path=self._path)
