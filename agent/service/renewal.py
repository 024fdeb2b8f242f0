"""What an agent that serves does when it is asked to start anew: it looks before it leaps.

The configuration is checked first, and whether its addresses are to be had. If it can't be used,
the agent goes on with the one that it has, and says why. Whoever started it is told as
``Type=notify-reload`` wants it (systemd.service(5)): RELOADING=1 with the time of that, READY=1
when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.config import ConfigError
from agent.service.ending import Ending, Stopping
from agent.service.notify import notify, reloading

CHECK_S = 10.0
"""Deadline for reading a few small files."""

STATUS_LENGTH = 500
"""Of a reason there, in characters: a message that is too long would not arrive."""

log = logging.getLogger(__name__)

Check = Callable[[], object]
"""Looks at what a successor would be configured with. Blocking. Raises ConfigError."""


async def until_ended(stopping: Stopping, check: Check, doing: str) -> None:
    """Returns when it is settled that the agent ends: ``stopping.how`` says how.

    ``doing`` is what it does meanwhile, for ``systemctl status``.
    """
    while stopping.how is None:
        await stopping.asked()
        if stopping.how is None:
            notify(reloading())
            await _renew(stopping, check, doing)
    if stopping.how is Ending.EXIT:
        notify("STOPPING=1")


async def _renew(stopping: Stopping, check: Check, doing: str) -> None:
    try:
        async with asyncio.timeout(CHECK_S):
            await asyncio.to_thread(check)
    except ConfigError as error:
        why = str(error)
    except TimeoutError:
        why = f"the configuration can't be read within {CHECK_S:g} s"
    else:
        stopping.make_room()
        return
    log.error("not reloaded, the agent goes on as it is configured: %s", why)
    notify(f"READY=1\nSTATUS={doing}; not reloaded: {' '.join(why.split())[:STATUS_LENGTH]}")
