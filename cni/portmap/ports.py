"""The published ports: elements of our nftables maps, by hand-packed nfnetlink transactions.

The key is protocol and host port, before them the host's address where one is named; the value
address and port of the container. The comment names network, container and interface, so that the
maps alone tell whose it is (`nft list map` shows it). The table itself is made by `ruleset`.
"""

import errno
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from cni.errors import CNIError, Code, PortTaken
from cni.firewall.ruleset import ADDRESS_PORTS, PORTS
from cni.kernel.netlink import NetlinkError, NetlinkSocket, Request
from cni.kernel.nfnetlink import (
    Element,
    add_element,
    delete_element,
    get_element,
    list_elements,
    transact,
)
from cni.portmap.mappings import Protocol
from cni.spec import Attachment

# Parts of a concatenation are padded to four bytes each, and in network byte order.
_TAIL: Final = struct.Struct("!B3xH2x")
_PORT: Final = struct.Struct("!H2x")
_ATTEMPTS: Final = 5
# With two blanks and 15 bytes for the interface a comment is full.
_NETWORK_LIMIT, _CONTAINER_LIMIT = 46, 64
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """One element; without `host_ip` it is published at all addresses of its IP version."""

    protocol: Protocol
    host_port: int
    address: IPv4Address | IPv6Address
    container_port: int
    owner: str
    host_ip: IPv4Address | IPv6Address | None = None


def owner_name(network: str, attachment: Attachment) -> str:
    """The owner of an attachment's ports: what the comments of its elements say."""
    container = _shortened(attachment.container_id, _CONTAINER_LIMIT)
    return f"{network_mark(network)}{container} {attachment.ifname}"


def network_mark(network: str) -> str:
    """What the owners of a network's ports begin with."""
    return f"{_shortened(network, _NETWORK_LIMIT)} "


def publish(firewall: NetlinkSocket, table: str, ports: Sequence[PublishedPort]) -> None:
    """Add all of these or none, in one transaction; all have the same owner.

    What an interrupted attempt of the same owner left is replaced. Raises PortTaken when another
    has published one of them.
    """
    for _ in range(_ATTEMPTS):
        try:
            transact(firewall, [_addition(table, port) for port in ports])
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            refused = ports[error.position - 1]
            holder = holder_of(firewall, table, refused)
            if holder not in (None, refused.owner):
                raise PortTaken(refused.protocol.value, refused.host_port, str(holder)) from error
            withdraw(firewall, table, refused.owner)
        else:
            return
    raise CNIError(Code.TRY_AGAIN_LATER, f"the published ports of {ports[0].owner} keep changing")


def withdraw(firewall: NetlinkSocket, table: str, owner: str) -> None:
    """Remove all ports of an owner; none is fine, and so is no table.

    They are looked up rather than named by the caller: a repeated removal must not take a port
    that has gone to another container since.
    """
    for _ in range(_ATTEMPTS):
        found = published(firewall, table, owner)
        if not found:
            return
        try:
            transact(
                firewall, [delete_element(table, _map(port), _element(port)) for port in found]
            )
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # somebody else removes the same
                raise
        else:
            return
    raise CNIError(Code.TRY_AGAIN_LATER, f"the published ports of {owner} keep changing")


def published(firewall: NetlinkSocket, table: str, owner: str | None = None) -> set[PublishedPort]:
    """Return all published ports, or those of one owner; none without a table."""
    return {
        port
        for version in (4, 6)
        for name in (PORTS[version], ADDRESS_PORTS[version])
        for port in _listed(firewall, table, name, owner)
        if owner in (None, port.owner)
    }


def holder_of(firewall: NetlinkSocket, table: str, port: PublishedPort) -> str | None:
    """Who has published that port of the host, in the same map; None when nobody has."""
    found = get_element(firewall, table, _map(port), _element(port).key)
    return None if found is None else found.comment


def is_published(firewall: NetlinkSocket, table: str, port: PublishedPort) -> bool:
    """Whether exactly this element is there."""
    return get_element(firewall, table, _map(port), _element(port).key) == _element(port)


def _addition(table: str, port: PublishedPort) -> Request:
    return add_element(table, _map(port), _element(port), new=True)


def _map(port: PublishedPort) -> str:
    return (PORTS if port.host_ip is None else ADDRESS_PORTS)[port.address.version]


def _element(port: PublishedPort) -> Element:
    key = _TAIL.pack(port.protocol.number, port.host_port)
    if port.host_ip is not None:
        key = port.host_ip.packed + key
    return Element(key, port.address.packed + _PORT.pack(port.container_port), port.owner)


def _listed(
    firewall: NetlinkSocket, table: str, name: str, owner: str | None
) -> Iterator[PublishedPort]:
    for element in list_elements(firewall, table, name, owner or ""):
        if (port := _port(element)) is not None:
            yield port


def _port(element: Element) -> PublishedPort | None:
    """The published port, None for an element that is not of our making."""
    host_ip, tail = element.key[: -_TAIL.size], element.key[-_TAIL.size :]
    number, host_port = _TAIL.unpack(tail)
    (container_port,) = _PORT.unpack(element.value[-_PORT.size :])
    protocol = next((each for each in Protocol if each.number == number), None)
    if protocol is None:
        return None
    return PublishedPort(
        protocol,
        host_port,
        ip_address(element.value[: -_PORT.size]),
        container_port,
        element.comment,
        ip_address(host_ip) if host_ip else None,
    )


def _shortened(text: str, limit: int) -> str:
    """The text, or its beginning and a digest after a `~`, which is in no name."""
    if len(text) <= limit:
        return text
    digest = sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{text[: limit - 1 - _DIGEST_LENGTH]}~{digest}"
