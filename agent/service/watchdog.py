"""Telling systemd again and again that the agent is well (sd_watchdog_enabled(3)).

An agent that falls silent is killed and started anew; tasks run on. It speaks from its event loop,
and only while the thread that writes the state store answers: without these two it can do nothing.
A disk that is full or broken is no reason for silence, as another agent would have it as well.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping

from agent.service.notify import notify

PING = "WATCHDOG=1"

log = logging.getLogger(__name__)


def interval_s(environ: Mapping[str, str]) -> float | None:
    """A third of the time after which this process is missed; None if nobody would miss it."""
    limit, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if whose not in ("", str(os.getpid())) or not limit.isdecimal() or int(limit) == 0:
        return None
    return int(limit) / 3_000_000


async def keep_telling(every_s: float | None, answers: Callable[[], Awaitable[None]]) -> None:
    """Pings until cancelled, each time after ``answers`` has returned in time."""
    while every_s is not None:
        if await _in_time(every_s, answers):
            notify(PING)
            await asyncio.sleep(every_s)
        else:
            log.error("the thread of the state store does not answer for %.1f s now", every_s)


async def _in_time(deadline_s: float, answers: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(deadline_s):
            await answers()
    except TimeoutError:
        return False
    return True
