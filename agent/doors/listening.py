"""The TCP sockets that the operator has set: listening, or refused with what to set instead."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

import psutil

from agent.config import ConfigError
from agent.settings import Settings

API, INTROSPECTION = "HOSTLER_API_LISTEN", "HOSTLER_INTROSPECTION_LISTEN"
"""The settings that name them."""

Address = tuple[str, int]
"""An IP address and a port."""


def listening(address: Address, setting: str) -> socket.socket:
    """A listening socket on an address and port that ``setting`` names. Raises ConfigError."""
    try:
        sock = _bound(address)
    except OSError as error:
        raise _refusal(address, setting, error) from error
    try:
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise _refusal(address, setting, error) from error
    return sock


def refuse_taken(wanted: Settings, serving: Settings) -> None:
    """Raises ConfigError unless this process, which serves with the one, could with the other.

    Nobody else may have an address of those wanted, and the host must have it. What this process
    listens on itself is free by then. Blocking.
    """
    ours = (serving.api_listen, serving.introspection_listen)
    for setting, address in (
        (API, wanted.api_listen),
        (INTROSPECTION, wanted.introspection_listen),
    ):
        if address is None or address in ours:
            continue
        try:
            _bound(address).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not _is_anothers(address):
                continue
            raise _refusal(address, setting, error) from error


def _bound(address: Address) -> socket.socket:
    """Nobody can connect to it yet. Raises OSError."""
    version = ipaddress.ip_address(address[0]).version
    sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _is_anothers(address: Address) -> bool:
    """Whether another process listens there, be it on all addresses or on one of all."""
    of_others = (
        each.laddr
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.pid != os.getpid()
    )
    host, port = address
    return any(at and at.port == port and _overlap(at.ip, host) for at in of_others)


def _overlap(one: str, other: str) -> bool:
    hosts = {ipaddress.ip_address(each) for each in (one, other)}
    return len(hosts) == 1 or any(each.is_unspecified for each in hosts)


def _refusal(address: Address, setting: str, error: OSError) -> ConfigError:
    host, port = address
    return ConfigError(
        f"{setting}: can't listen on {host} port {port}: {error.strerror};"
        " set another ADDRESS:PORT, or off"
    )
