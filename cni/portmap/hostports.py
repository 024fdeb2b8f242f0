"""Which ports of the host are free, and the choice of dynamic host ports.

Nothing listens on a published port: the kernel refuses the second element of the map, and a local
program is looked for when a port is published, and would lose its traffic if it began later.
A CNI result can't report a choice, so whoever wants dynamic ports chooses them before ADD.
"""

import errno
import socket
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel import sysctl
from cni.kernel.loopback import METADATA_ADDRESS
from cni.portmap.mappings import PortMapping, Protocol


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


ANY: Final[Mapping[int, IPv4Address | IPv6Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}
_IP_FREEBIND: Final = 15
_IPV6_FREEBIND: Final = 78
_FALLBACK: Final = PortRange(49153, 65535)
_METADATA_HEX: Final = f"{int.from_bytes(METADATA_ADDRESS.packed, sys.byteorder):08X}"


def ephemeral_range() -> PortRange:
    """The range ECS takes for dynamic host ports: net.ipv4.ip_local_port_range."""
    try:
        first, last = sysctl.read("ipv4/ip_local_port_range").split()
    except FileNotFoundError:
        return _FALLBACK
    return PortRange(int(first), int(last))


def choose(
    mappings: Sequence[PortMapping],
    taken: Collection[tuple[Protocol, int]],
    ports: PortRange | None,
    cursor: "Cursor",
) -> tuple[PortMapping, ...]:
    """The mappings with a free run of host ports for each that has none yet, in the same order.

    They come from `ports` (default: `ephemeral_range`) after the one chosen last, and are none of
    `taken`, of the others', or of a local program's. Raises number 11 when there is no such run.
    """
    held = set(taken)
    for mapping in mappings:
        if mapping.host_port:
            held.update((mapping.protocol, port) for port in mapping.host_ports)
    bounds = ports or ephemeral_range()
    after = before = cursor.read()
    chosen: list[PortMapping] = []
    for mapping in mappings:
        if not mapping.host_port:
            mapping = _placed(mapping, held, bounds, after)
            held.update((mapping.protocol, port) for port in mapping.host_ports)
            after = mapping.host_ports[-1]
        chosen.append(mapping)
    if after != before:
        cursor.write(after)
    return tuple(chosen)


def _placed(
    mapping: PortMapping, held: Collection[tuple[Protocol, int]], bounds: PortRange, after: int
) -> PortMapping:
    protocol = mapping.protocol
    for run in bounds.runs(after, mapping.count):
        if all((protocol, port) not in held for port in run) and all(
            is_free(protocol, port, mapping.host_ip) for port in run
        ):
            return replace(mapping, host_port=run[0])
    msg = f"no {mapping.count} free {protocol.value} host ports in a row"
    raise CNIError(Code.TRY_AGAIN_LATER, msg, f"in {bounds.first}-{bounds.last}")


def is_free(
    protocol: Protocol, port: int, host_ip: IPv4Address | IPv6Address | None = None
) -> bool:
    """Whether no local program uses the port on that address. Published ports are not seen so.

    None is any address, 0.0.0.0 and :: are any of their family; the metadata address does not
    count among them: published ports leave it out (see `ruleset`). Ports of sctp always seem
    free: to try one would load the kernel's sctp module, which hosts keep off on purpose.
    """
    if protocol is Protocol.SCTP or _can_bind(protocol, port, host_ip):
        return True
    anywhere = host_ip is None or host_ip == ANY[4]
    return anywhere and _holders(protocol, port) == {_METADATA_HEX}


def _can_bind(protocol: Protocol, port: int, host_ip: IPv4Address | IPv6Address | None) -> bool:
    try:
        probe = _probe(protocol, host_ip)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
        if host_ip is not None:  # a kernel without IPv6
            return True
        host_ip = ANY[4]
        probe = _probe(protocol, host_ip)
    with probe:
        try:
            probe.bind((str(host_ip or ANY[6]), port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def _probe(protocol: Protocol, host_ip: IPv4Address | IPv6Address | None) -> socket.socket:
    """A socket to bind at the address; for None one that stands for both families."""
    family = socket.AF_INET if host_ip and host_ip.version == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    probe = socket.socket(family, kind)
    if protocol is Protocol.TCP:
        # Past connections in TIME_WAIT do not count; a listener refuses even so.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host_ip is not None)
        probe.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:  # an address that the host will only have later is free
        probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    return probe


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
