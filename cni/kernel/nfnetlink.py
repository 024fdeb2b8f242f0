"""Transactions of nftables over netlink, and the elements of its sets and maps.

All requests of a transaction take effect, or none. What is inside keys and values is known to the
users: `ports`, `networks`, `ruleset`; rules are `portshare`'s.

References: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h, nft(8).
"""

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
    tolerating,
)

NETLINK_NETFILTER: Final = 12
NFPROTO_INET: Final = 1
NFPROTO_IPV4: Final = 2

SUBSYSTEM: Final = 10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
NEWSETELEM: Final = 12
_GETSETELEM: Final = 13
DELSETELEM: Final = 14

_NFGENMSG: Final = struct.Struct("!BBH")  # family, version, resource id
HEADER_SIZE: Final = _NFGENMSG.size

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEM: Final = 1
_KEY, _VALUE, _FLAGS, _USERDATA = 1, 2, 3, 6
_DATA_VALUE: Final = 1
_INTERVAL_END: Final = 1
_UDATA_COMMENT: Final = 0
COMMENT_LIMIT: Final = 127
"""Bytes of a comment that nft(8) still shows."""

_NAMED: Final = _NFGENMSG.pack(socket.AF_UNSPEC, 0, SUBSYSTEM)
_BEGIN: Final = Request("begin", _BATCH_BEGIN, 0, _NAMED)
_END: Final = Request("commit", _BATCH_END, 0, _NAMED)


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a set, or with a value of a map, each as the kernel has it.

    Parts of a concatenation fill four bytes each. An interval is two elements: its first key, and
    the one after its last, with `ends`.
    """

    key: bytes
    value: bytes = b""
    comment: str = ""
    ends: bool = False


def open_socket() -> NetlinkSocket:
    """Return a socket on the calling thread's network namespace."""
    return NetlinkSocket(NETLINK_NETFILTER)


def kind(message: int) -> int:
    """Return the netlink type of an nftables message (NFT_MSG_*)."""
    return SUBSYSTEM << 8 | message


def header(family: int) -> bytes:
    """Return what each nftables message begins with."""
    return _NFGENMSG.pack(family, 0, 0)


def transact(netlink: NetlinkSocket, requests: Sequence[Request]) -> None:
    """Carry out the requests; `position` of a NetlinkError counts from 1."""
    if requests:
        # An answer to each would overflow the socket's buffer in large transactions.
        last = replace(requests[-1], flags=requests[-1].flags | NLM_F_ACK)
        netlink.execute([_BEGIN, *requests[:-1], last, _END])


def add_element(table: str, name: str, element: Element, *, new: bool = False) -> Request:
    """Add an element to a set or map of table `inet <table>`; `new` refuses one that is there."""
    flags = NLM_F_CREATE | (NLM_F_EXCL if new else 0)
    return _request(f"add to {name}", NEWSETELEM, flags, _set(table, name) + _pack(element))


def delete_element(table: str, name: str, element: Element) -> Request:
    """Delete the element with that key."""
    sought = Element(element.key, ends=element.ends)
    return _request(f"remove from {name}", DELSETELEM, 0, _set(table, name) + _pack(sought))


def get_element(netlink: NetlinkSocket, table: str, name: str, key: bytes) -> Element | None:
    """The element with that key, or whose interval holds it; None also without such a set."""
    sought = _pack(Element(key))
    request = _request(f"look up in {name}", _GETSETELEM, NLM_F_ACK, _set(table, name) + sought)
    return next(_answers(netlink, request), None)


def list_elements(netlink: NetlinkSocket, table: str, name: str, sought: str = "") -> list[Element]:
    """All elements of a set or map; a `sought` text spares decoding those that don't hold it.

    None without such a set.
    """
    request = _request(f"list {name} of {table}", _GETSETELEM, NLM_F_DUMP, _set(table, name))
    return list(_answers(netlink, request, sought.encode()))


def unpack_elements(body: bytes, sought: bytes = b"") -> Iterator[Element]:
    """The elements in a message about a set or map, as far as they hold the bytes `sought`."""
    for name, elements in attributes(body, HEADER_SIZE):
        if name == _LIST_ELEMENTS:
            for _, element in attributes(elements):
                if sought in element:
                    yield _element(element)


def _request(what: str, message: int, flags: int, body: bytes) -> Request:
    return Request(what, kind(message), flags, body)


def _set(table: str, name: str) -> bytes:
    return (
        header(NFPROTO_INET)
        + attribute(_LIST_TABLE, table.encode() + b"\0")
        + attribute(_LIST_SET, name.encode() + b"\0")
    )


def _pack(element: Element) -> bytes:
    body = nested(_KEY, attribute(_DATA_VALUE, element.key))
    if element.value:
        body += nested(_VALUE, attribute(_DATA_VALUE, element.value))
    if element.ends:
        body += attribute(_FLAGS, struct.pack("!I", _INTERVAL_END))
    if element.comment:
        body += attribute(_USERDATA, _userdata(element.comment))
    return nested(_LIST_ELEMENTS, nested(_LIST_ELEM, body))


def _userdata(comment: str) -> bytes:
    """User data with a comment, as nft(8) writes it: type, length, text, NUL."""
    encoded = comment.encode() + b"\0"
    if len(encoded) > COMMENT_LIMIT + 1:
        raise CNIError(Code.INVALID_ENVIRONMENT, f"{comment} is too long for an nftables comment")
    return bytes((_UDATA_COMMENT, len(encoded))) + encoded


def _answers(netlink: NetlinkSocket, request: Request, sought: bytes = b"") -> Iterator[Element]:
    answers: list[bytes] = []
    with tolerating(errno.ENOENT):
        answers = netlink.query(request)
    for answer in answers:
        yield from unpack_elements(answer, sought)


def _element(body: bytes) -> Element:
    parts = dict(attributes(body))
    key, value = (
        dict(attributes(parts.get(part, b""))).get(_DATA_VALUE, b"") for part in (_KEY, _VALUE)
    )
    comment = parts.get(_USERDATA, b"")[2:].rstrip(b"\0").decode(errors="replace")
    flags = int.from_bytes(parts.get(_FLAGS, b""), "big")
    return Element(key, value, comment, bool(flags & _INTERVAL_END))
