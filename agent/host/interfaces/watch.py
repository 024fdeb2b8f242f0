"""Rings when an interface of the host comes or goes, so that whoever waits for one looks again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cni.kernel.linkwatch import LinkWatch

_RETRY_S = 1.0
"""After a look at all interfaces that failed; the kernel itself will not call again."""

_log = logging.getLogger(__name__)


@contextmanager
def watching(watch: LinkWatch, ring: Callable[[], None]) -> Iterator[None]:
    """Meanwhile the running event loop keeps the watch current and rings after each change.

    The watch stays the caller's, who closes it.
    """
    loop = asyncio.get_running_loop()
    again: asyncio.TimerHandle | None = None

    def changed() -> None:
        nonlocal again
        try:
            changes = watch.read()
        except OSError as error:
            _log.warning("can't look at the host's network interfaces, trying again: %s", error)
            again = loop.call_later(_RETRY_S, changed)
            return
        if changes:
            ring()

    loop.add_reader(watch.fileno(), changed)
    try:
        yield
    finally:
        loop.remove_reader(watch.fileno())
        if again is not None:
            again.cancel()
