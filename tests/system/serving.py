"""HTTP servers of the tests' own, each in a thread, for blocking and asynchronous tests."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from aiohttp import web

LOOPBACK = "127.0.0.1"
START_S = 60.0
_LAST_ANSWERS_S = 0.1


@contextmanager
def served(
    application: web.Application, tls: ssl.SSLContext | None = None, host: str = LOOPBACK
) -> Iterator[int]:
    """The application answers on a free port of ``host``; gives the port.

    Its handlers are cancelled when their client goes away, and all of them at the end.
    """
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_LAST_ANSWERS_S,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, 0, ssl_context=tls).start()
            stop = asyncio.Event()
            started.set_result((runner.addresses[0][1], asyncio.get_running_loop(), stop))
            await stop.wait()
        finally:
            await runner.cleanup()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="served")
    thread.start()
    port, loop, stop = started.result(START_S)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
