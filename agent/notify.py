"""Telling systemd how the agent is (sd_notify(3)); silence where nobody asked."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Sends ``state``, for instance ``READY=1``, to whoever started the agent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.settimeout(0)
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(state.encode())
