"""Forgets connections that began before a UDP port was published, or with another container.

The kernel decides once per connection where its packets go, and for UDP a connection lasts as long
as somebody keeps sending: without this such a client would never reach the new container.

References: linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from cni.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
    tolerating,
)
from cni.kernel.nfnetlink import HEADER_SIZE, header
from cni.portmap.mappings import Protocol
from cni.portmap.ports import PublishedPort

_GET: Final = 1 << 8 | 1
_DELETE: Final = 1 << 8 | 2
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IPV4_SOURCE, _IPV4_DESTINATION, _IPV6_SOURCE, _IPV6_DESTINATION = 1, 2, 3, 4
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_NUMBER, _BY_DESTINATION_PORT = 1 << 3, 1 << 5
_FLAGS: Final = struct.Struct("=I")
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


_End: TypeAlias = tuple[IPv4Address | IPv6Address, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class _Connection:
    """Where its first packet was sent, and who answers; `handle` is what the kernel knows it by."""

    to: _End
    answering: _End
    handle: bytes


def forget_strays(firewall: NetlinkSocket, ports: Sequence[PublishedPort]) -> int:
    """Delete the UDP connections to these host ports that do not lead where they should now.

    Returns how many there were. Connections through the host to other machines' ports stay.
    """
    wanted = [port for port in ports if port.protocol is Protocol.UDP]
    strays = [
        connection
        for version in {port.address.version for port in wanted}
        for connection in _strays(firewall, wanted, version)
    ]
    for stray in strays:
        body = header(_FAMILIES[stray.to[0].version]) + stray.handle
        with tolerating(errno.ENOENT):
            firewall.execute([Request("forget a connection", _DELETE, NLM_F_ACK, body)])
    return len(strays)


def _strays(
    firewall: NetlinkSocket, ports: Sequence[PublishedPort], version: int
) -> Iterator[_Connection]:
    now = {
        (port.host_port, port.host_ip): port for port in ports if port.address.version == version
    }
    numbers = {number for number, _ in now}
    for connection in _connections(firewall, _FAMILIES[version], numbers):
        address, number = connection.to
        port = now.get((number, address)) or now.get((number, None))
        if port is not None and _astray(connection, port):
            yield connection


def _astray(connection: _Connection, port: PublishedPort) -> bool:
    if connection.answering == (port.address, port.container_port):
        return False
    return port.host_ip is not None or _is_local(connection.to[0])


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    with socket.socket(_FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _connections(
    firewall: NetlinkSocket, family: int, ports: Collection[int]
) -> Iterator[_Connection]:
    """The UDP connections, at most for one port chosen by the kernel (from Linux 5.8 on)."""
    flags, proto = _BY_NUMBER, attribute(_NUMBER, bytes((Protocol.UDP.number,)))
    if len(ports) == 1:
        flags |= _BY_DESTINATION_PORT
        proto += attribute(_DESTINATION_PORT, struct.pack("!H", *ports))
    body = (
        header(family)
        + nested(_ORIGINAL, nested(_TUPLE_PROTO, proto))
        + nested(
            _FILTER,
            attribute(_FILTER_ORIGINAL, _FLAGS.pack(flags)),
            attribute(_FILTER_REPLY, _FLAGS.pack(0)),
        )
    )
    for answer in firewall.query(Request("list connections", _GET, NLM_F_DUMP, body)):
        connection = _parse(answer)
        if connection is not None:
            yield connection


def _parse(answer: bytes) -> _Connection | None:
    """The connection, None for one that is not UDP: an older kernel lists all."""
    parts = dict(attributes(answer, HEADER_SIZE))
    protocol, _, to = _direction(parts[_ORIGINAL])
    _, answering, _ = _direction(parts[_REPLY])
    if protocol != Protocol.UDP.number:
        return None
    handle = nested(_ORIGINAL, parts[_ORIGINAL]) + attribute(_ID, parts[_ID])
    if _ZONE in parts:
        handle += attribute(_ZONE, parts[_ZONE])
    return _Connection(to, answering, handle)


def _direction(body: bytes) -> tuple[int, _End, _End]:
    """Protocol number, source and destination of the packets of one direction."""
    parts = dict(attributes(body))
    addresses = dict(attributes(parts[_TUPLE_IP]))
    proto = dict(attributes(parts[_TUPLE_PROTO]))
    source = addresses.get(_IPV4_SOURCE) or addresses[_IPV6_SOURCE]
    destination = addresses.get(_IPV4_DESTINATION) or addresses[_IPV6_DESTINATION]
    # Some protocols have no ports.
    ports = (proto.get(each, b"") for each in (_SOURCE_PORT, _DESTINATION_PORT))
    source_port, destination_port = (int.from_bytes(port, "big") for port in ports)
    return (
        proto[_NUMBER][0],
        (ip_address(source), source_port),
        (ip_address(destination), destination_port),
    )
