"""The TCP sockets that the operator has set: listening, or refused with what to set instead."""

from __future__ import annotations

import ipaddress
import socket

from agent.config import ConfigError


def listening(address: tuple[str, int], setting: str) -> socket.socket:
    """A listening socket on an address and port that ``setting`` names. Raises ConfigError."""
    host, port = address
    version = ipaddress.ip_address(host).version
    sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"{setting}: can't listen on {host} port {port}: {error.strerror};"
            " set another ADDRESS:PORT, or off"
        ) from error
    return sock
