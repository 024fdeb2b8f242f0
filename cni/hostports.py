"""Which ports of the host are free, and in which order to try them. Used by `portmap`."""

import errno
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cni import sysctl
from cni.errors import CNIError, Code
from cni.loopback import METADATA_ADDRESS
from cni.nft import Protocol


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`, both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last <= 65535:
            raise CNIError(Code.INVALID_CONFIG, f"{self.first}-{self.last} is not a port range")

    def runs(self, after: int, count: int) -> Iterator[range]:
        """Yield each run of `count` neighbouring ports once, from the port following `after` on."""
        starts = self.last - self.first - count + 2
        offset = after + 1 - self.first if self.first <= after else 0
        for step in range(starts):
            start = self.first + (offset + step) % starts
            yield range(start, start + count)


_FALLBACK: Final = PortRange(49153, 65535)
_METADATA_HEX: Final = f"{int.from_bytes(METADATA_ADDRESS.packed, sys.byteorder):08X}"


def ephemeral_range() -> PortRange:
    """The range ECS takes for dynamic host ports: net.ipv4.ip_local_port_range."""
    try:
        first, last = sysctl.read("ipv4/ip_local_port_range").split()
    except FileNotFoundError:
        return _FALLBACK
    return PortRange(int(first), int(last))


def is_free(protocol: Protocol, port: int) -> bool:
    """Whether no local program uses the port on any address. Published ports are not seen so.

    The metadata address does not count: published ports leave it out (see `ruleset`).
    """
    return _can_bind(protocol, port) or _holders(protocol, port) == {_METADATA_HEX}


def _can_bind(protocol: Protocol, port: int) -> bool:
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if protocol is Protocol.TCP:
            # Past connections in TIME_WAIT do not count; a listener refuses even so.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def _holders(protocol: Protocol, port: int) -> set[str]:
    """The local addresses of sockets at that port, as the kernel writes them (proc_net(5))."""
    sockets = [
        line.split()[1].split(":")
        for version in ("", "6")
        for line in _socket_table(f"{protocol.value}{version}")
    ]
    return {address for address, number in sockets if int(number, 16) == port}


def _socket_table(name: str) -> list[str]:
    try:
        return Path("/proc/thread-self/net", name).read_text().splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return []


@dataclass(frozen=True, slots=True)
class Cursor:
    """The dynamic port handed out last, in a file. Only a hint, so any damage is forgiven."""

    path: Path

    def read(self) -> int:
        """Return the port, 0 when none is known."""
        try:
            return int(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def write(self, port: int) -> None:
        """Remember the port."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(str(port))
