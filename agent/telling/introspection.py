"""The introspection port of this host: opened early, served once there is something to tell."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.doors.listening import INTROSPECTION, listening
from agent.settings import Settings
from metadata.front.listener import Handler, Listeners

log = logging.getLogger(__name__)


def open_port(settings: Settings) -> socket.socket | None:
    """The listening socket, None where the operator wants none. Raises ConfigError."""
    if settings.introspection_listen is None:
        return None
    return listening(settings.introspection_listen, INTROSPECTION)


@asynccontextmanager
async def serving(port: socket.socket | None, answer: Handler) -> AsyncIterator[None]:
    """Requests are answered meanwhile; the socket is closed afterwards."""
    if port is None:
        yield
        return
    listeners = Listeners()
    log.info("introspection and metrics are on %s port %d", *port.getsockname()[:2])
    await listeners.serve(port, answer, "introspection")
    try:
        yield
    finally:
        await listeners.close_all()
