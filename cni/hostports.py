"""Which ports of the host are free, and in which order to try them. Used by `portmap`."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cni import sysctl
from cni.errors import CNIError, Code
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


def ephemeral_range() -> PortRange:
    """The range ECS takes for dynamic host ports: net.ipv4.ip_local_port_range."""
    try:
        first, last = sysctl.read("ipv4/ip_local_port_range").split()
    except FileNotFoundError:
        return _FALLBACK
    return PortRange(int(first), int(last))


def is_free(protocol: Protocol, port: int) -> bool:
    """Whether no local program uses the port on any address. Published ports are not seen so."""
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
