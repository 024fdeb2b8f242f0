"""Which ports of a container are wanted at which ports of the host.

The JSON form is that of the capability `portMappings` (libcni), with `range` (podman's word) for
how many neighbouring ports one entry stands for. Fixed and dynamic ports and contiguous ranges
follow the ECS fields `portMappings[].hostPort` and `containerPortRange`.
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from cni.conf import Fields
from cni.errors import CNIError, Code

_HIGHEST = 65535
_IPPROTO_SCTP = 132


class Protocol(Enum):
    """A transport protocol whose ports can be published."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"

    @property
    def number(self) -> int:
        """The number of the protocol in the IP header."""
        return _NUMBERS[self]


_NUMBERS = {
    Protocol.TCP: socket.IPPROTO_TCP,
    Protocol.UDP: socket.IPPROTO_UDP,
    Protocol.SCTP: _IPPROTO_SCTP,
}


@dataclass(frozen=True, slots=True)
class PortMapping:
    """`count` neighbouring ports to publish; host port 0 is still to be chosen (`hostports`).

    `host_ip` is the one address of the host to publish at: None is all, 0.0.0.0 and :: are all of
    their family.
    """

    container_port: int
    host_port: int = 0
    protocol: Protocol = Protocol.TCP
    count: int = 1
    host_ip: IPv4Address | IPv6Address | None = None

    def __post_init__(self) -> None:
        _require_run(self.container_port, self.count)
        if self.host_port:
            _require_run(self.host_port, self.count)

    @property
    def host_ports(self) -> range:
        """The ports of the host."""
        return range(self.host_port, self.host_port + self.count)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Host port and container port of each of the `count` ports."""
        for at, host_port in enumerate(self.host_ports):
            yield host_port, self.container_port + at

    def to_json(self) -> dict[str, Any]:
        """The entry of `runtimeConfig.portMappings`."""
        entry: dict[str, Any] = {
            "hostPort": self.host_port,
            "containerPort": self.container_port,
            "protocol": self.protocol.value,
        }
        if self.host_ip is not None:
            entry["hostIP"] = str(self.host_ip)
        if self.count > 1:
            entry["range"] = self.count
        return entry


def parse(runtime: Mapping[str, Any]) -> tuple[PortMapping, ...]:
    """The mappings of a `runtimeConfig`; raises number 7 naming what is wrong."""
    entries = Fields(runtime, "runtimeConfig").objects("portMappings")
    return tuple(_mapping(entry) for entry in entries)


def _mapping(entry: Fields) -> PortMapping:
    try:
        protocol = Protocol((entry.text("protocol") or "tcp").lower())
    except ValueError as error:
        raise entry.wrong("protocol", "must be tcp, udp or sctp") from error
    return PortMapping(
        container_port=entry.number("containerPort", 0, 1, _HIGHEST) or _missing(entry),
        # A choice could not be reported: a CNI result has no place for it.
        host_port=entry.number("hostPort", 0, 1, _HIGHEST) or _missing(entry, "hostPort"),
        protocol=protocol,
        count=entry.number("range", 1, 0, _HIGHEST) or 1,
        host_ip=entry.address("hostIP"),
    )


def _missing(entry: Fields, key: str = "containerPort") -> int:
    raise entry.wrong(key, f"must be a port number from 1 to {_HIGHEST}")


def _require_run(first: int, count: int) -> None:
    if not (count > 0 and 0 < first <= first + count - 1 <= _HIGHEST):
        msg = f"{count} ports from {first} on are no ports to publish"
        raise CNIError(Code.INVALID_CONFIG, msg)
