"""Telling systemd how the agent is, and giving it descriptors to keep (sd_notify(3)).

Silence where nobody asked.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

DEADLINE_S = 1.0
"""For the service manager to take a message that must not be lost, or to have handled it."""


def notify(state: str) -> None:
    """Sends ``state``, for instance ``READY=1``, to whoever started the agent; never waits."""
    if asked():
        with suppress(OSError):
            _send(state, (), 0)


def reloading() -> str:
    """The state that says so. systemd tells by its time which request to reload that answers."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def asked() -> bool:
    """Whether whoever started the agent wants to be told."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def store(name: str, kept: socket.socket) -> None:
    """Whoever started the agent keeps a duplicate of the socket, and passes it to the next agent.

    Blocks up to ``DEADLINE_S``. Raises OSError if nobody takes it.
    """
    _send(f"FDSTORE=1\nFDNAME={name}", (kept.fileno(),), DEADLINE_S)


def remove_stored(name: str) -> None:
    """None is kept under this name any more, by the time this returns.

    Blocks up to twice ``DEADLINE_S``. Raises OSError if nobody takes the message or handles it.
    """
    _send(f"FDSTOREREMOVE=1\nFDNAME={name}", (), DEADLINE_S)
    watched, passed = os.pipe()
    try:
        try:
            # Closed when its turn has come, so after what was sent before (systemd 246; older ones
            # close what they don't know at the same point).
            _send("BARRIER=1", (passed,), DEADLINE_S)
        finally:
            os.close(passed)
        if not _hung_up(watched):
            raise TimeoutError(f"the service manager is busy for more than {DEADLINE_S:g} s")
    finally:
        os.close(watched)


def _send(state: str, descriptors: Sequence[int], wait_s: float) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(wait_s)
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        socket.send_fds(sender, [state.encode()], descriptors)


def _hung_up(pipe: int) -> bool:
    watch = select.poll()
    watch.register(pipe, 0)
    return bool(watch.poll(DEADLINE_S * 1000))
