"""The elements of our nftables map of published ports, by hand-packed nfnetlink transactions.

The key is protocol and host port, the value address and port of the container; the element's
comment names the container, so that the map alone tells whose it is (`nft list map` shows it).
The table itself is made by `ruleset`. Used by `portmap`.

References: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, nft(8).
"""

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address
from typing import Final

from cni.errors import CNIError, Code, PortTaken
from cni.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NetlinkError,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
)
from cni.ruleset import PORTS_MAP

_NETLINK_NETFILTER: Final = 12
_NFNL_SUBSYS_NFTABLES: Final = 10
_NFNL_MSG_BATCH_BEGIN: Final = 0x10
_NFNL_MSG_BATCH_END: Final = 0x11
_NFPROTO_INET: Final = 1
_NFT_MSG_NEWSETELEM: Final = 12
_NFT_MSG_GETSETELEM: Final = 13
_NFT_MSG_DELSETELEM: Final = 14
_NFTA_SET_ELEM_LIST_TABLE: Final = 1
_NFTA_SET_ELEM_LIST_SET: Final = 2
_NFTA_SET_ELEM_LIST_ELEMENTS: Final = 3
_NFTA_LIST_ELEM: Final = 1
_NFTA_SET_ELEM_KEY: Final = 1
_NFTA_SET_ELEM_DATA: Final = 2
_NFTA_SET_ELEM_USERDATA: Final = 6
_NFTA_DATA_VALUE: Final = 1
_UDATA_COMMENT: Final = 0

_NFGENMSG: Final = struct.Struct("!BBH")  # family, version, resource id
# Concatenated keys and values are padded to four bytes per part, and in network byte order.
_KEY: Final = struct.Struct("!B3xH2x")
_VALUE: Final = struct.Struct("!4sH2x")
_COMMENT_LIMIT: Final = 127
_DELETE_ATTEMPTS: Final = 5

_BEGIN: Final = Request(
    "begin", _NFNL_MSG_BATCH_BEGIN, 0, _NFGENMSG.pack(socket.AF_UNSPEC, 0, _NFNL_SUBSYS_NFTABLES)
)
_END: Final = Request(
    "commit", _NFNL_MSG_BATCH_END, 0, _NFGENMSG.pack(socket.AF_UNSPEC, 0, _NFNL_SUBSYS_NFTABLES)
)


class Protocol(Enum):
    """A transport protocol whose ports can be published."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """The number of the protocol in the IP header."""
        return socket.IPPROTO_TCP if self is Protocol.TCP else socket.IPPROTO_UDP


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """One element of the map; `owner` is the id of the container."""

    protocol: Protocol
    host_port: int
    address: IPv4Address
    container_port: int
    owner: str


class PortsMap:
    """The map of published ports of one table, in the calling thread's network namespace."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._netlink = NetlinkSocket(_NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket; the elements stay."""
        self._netlink.close()

    def publish(self, ports: Sequence[PublishedPort]) -> None:
        """Add all of these or none; raises PortTaken when one is published already."""
        what, flags = _NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL
        try:
            self._change(
                [self._request("publish", what, flags, port, _element(port)) for port in ports]
            )
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            refused = ports[error.position - 1]  # the batch begins with a message of its own
            raise PortTaken(refused.protocol.value, refused.host_port, "a container") from error

    def withdraw(self, owner: str) -> None:
        """Remove all elements of a container; none is fine.

        They are looked up rather than named by the caller: a repeated removal must not take a port
        that has gone to another container since.
        """
        for _ in range(_DELETE_ATTEMPTS):
            ports = self.published(owner)
            if not ports:
                return
            try:
                what = _NFT_MSG_DELSETELEM
                self._change(
                    [self._request("withdraw", what, 0, port, _key(port)) for port in ports]
                )
            except NetlinkError as error:
                if error.errno != errno.ENOENT:  # somebody else removes the same container
                    raise
            else:
                return
        raise CNIError(Code.TRY_AGAIN_LATER, f"the published ports of {owner} keep changing")

    def published(self, owner: str | None = None) -> set[PublishedPort]:
        """Return all elements, or those of one container."""
        what = f"list the published ports of table {self._table}"
        kind = _NFNL_SUBSYS_NFTABLES << 8 | _NFT_MSG_GETSETELEM
        answers = self._netlink.query(Request(what, kind, NLM_F_DUMP, self._address()))
        sought = (owner or "").encode()  # found by a byte search, before the costly decoding
        return {
            port
            for answer in answers
            for name, elements in attributes(answer, _NFGENMSG.size)
            if name == _NFTA_SET_ELEM_LIST_ELEMENTS
            for _, element in attributes(elements)
            if sought in element and (port := _parse(element)) and owner in (None, port.owner)
        }

    def _change(self, requests: Sequence[Request]) -> None:
        """Carry out the requests as one transaction: all or nothing."""
        if requests:
            last = replace(requests[-1], flags=requests[-1].flags | NLM_F_ACK)
            self._netlink.execute([_BEGIN, *requests[:-1], last, _END])

    def _request(
        self, verb: str, message: int, flags: int, port: PublishedPort, element: bytes
    ) -> Request:
        what = f"{verb} {port.host_port}/{port.protocol.value} in table {self._table}"
        kind = _NFNL_SUBSYS_NFTABLES << 8 | message
        elements = nested(_NFTA_SET_ELEM_LIST_ELEMENTS, nested(_NFTA_LIST_ELEM, element))
        return Request(what, kind, flags, self._address() + elements)

    def _address(self) -> bytes:
        return (
            _NFGENMSG.pack(_NFPROTO_INET, 0, 0)
            + attribute(_NFTA_SET_ELEM_LIST_TABLE, self._table.encode() + b"\0")
            + attribute(_NFTA_SET_ELEM_LIST_SET, PORTS_MAP.encode() + b"\0")
        )


def _key(port: PublishedPort) -> bytes:
    key = _KEY.pack(port.protocol.number, port.host_port)
    return nested(_NFTA_SET_ELEM_KEY, attribute(_NFTA_DATA_VALUE, key))


def _element(port: PublishedPort) -> bytes:
    value = _VALUE.pack(port.address.packed, port.container_port)
    return (
        _key(port)
        + nested(_NFTA_SET_ELEM_DATA, attribute(_NFTA_DATA_VALUE, value))
        + attribute(_NFTA_SET_ELEM_USERDATA, _comment(port.owner))
    )


def _comment(text: str) -> bytes:
    """Return user data with a comment, as nft(8) writes it: type, length, text, NUL."""
    encoded = text.encode() + b"\0"
    if len(encoded) > _COMMENT_LIMIT + 1:
        raise CNIError(Code.INVALID_ENVIRONMENT, f"container id {text} is too long for a comment")
    return bytes((_UDATA_COMMENT, len(encoded))) + encoded


def _parse(element: bytes) -> PublishedPort | None:
    """Return the element, None for one that is not of our making."""
    values = dict(attributes(element))
    key, value = (
        dict(attributes(values.get(part, b""))).get(_NFTA_DATA_VALUE, b"")
        for part in (_NFTA_SET_ELEM_KEY, _NFTA_SET_ELEM_DATA)
    )
    userdata = values.get(_NFTA_SET_ELEM_USERDATA, b"")
    if len(key) != _KEY.size or len(value) != _VALUE.size:
        return None
    number, host_port = _KEY.unpack(key)
    packed, container_port = _VALUE.unpack(value)
    protocol = next((one for one in Protocol if one.number == number), None)
    if protocol is None:
        return None
    owner = userdata[2:].rstrip(b"\0").decode(errors="replace")
    return PublishedPort(protocol, host_port, IPv4Address(packed), container_port, owner)
