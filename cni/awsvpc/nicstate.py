"""What a NIC is before it is lent to a container, taken down and put back. Used by `nics`.

Addresses and routes are kept as the kernel's own messages, less what it counts by itself: so
lifetimes, labels, metrics and whatever else there is come back too.

References: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h.
"""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cni.kernel import rtnetlink, rtnl
from cni.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NetlinkError,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
)
from cni.kernel.rtnetlink import Link

# Address, local, label, broadcast, lifetimes, flags, priority.
_ADDRESS_KEPT: Final = (1, 2, 3, 4, 6, 8, 9)
# Destination, gateway, priority, preferred source, metrics, gateway of the other family.
_ROUTE_KEPT: Final = (1, 5, 6, 7, 8, 18)

_NEW: Final = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
_HAS_IT: Final = errno.EEXIST


@dataclass(frozen=True, slots=True)
class State:
    """A NIC as it was: `addresses` and `routes` are bodies of rtnetlink messages."""

    name: str
    mac: str
    mtu: int
    up: bool
    alias: str
    addresses: tuple[bytes, ...]
    routes: tuple[bytes, ...]


def take_down(netlink: NetlinkSocket, link: Link) -> State:
    """Return all that a move would lose."""
    return State(
        name=link.name,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        alias=link.alias,
        addresses=tuple(_addresses(netlink, link.index)),
        routes=tuple(_routes(netlink, link.index)),
    )


def put_back(netlink: NetlinkSocket, link: Link, state: State) -> list[str]:
    """Make a NIC what it was, all but the alias; what can't be is told, the rest done even so.

    May be repeated, also after having been cut off anywhere.
    """
    wanted: list[Request] = []
    renamed = link.name != state.name
    if link.up and (renamed or link.mac != state.mac):
        wanted.append(rtnetlink.set_up(link.index, up=False))
    if renamed:
        wanted.append(rtnetlink.rename_link(link.index, state.name))
    if link.mac != state.mac:
        wanted.append(rtnetlink.set_mac(link.index, state.mac))
    if link.mtu != state.mtu:
        wanted.append(rtnetlink.set_mtu(link.index, state.mtu))
    wanted += [_new_address(body, link.index) for body in state.addresses]
    wanted.append(rtnetlink.set_up(link.index, up=state.up))
    # A gateway may only be reachable by one of those that have none.
    direct_first = sorted(state.routes, key=_has_gateway)
    wanted += [_new_route(body, link.index) for body in direct_first]
    return [failure for request in wanted for failure in _tried(netlink, request)]


def _tried(netlink: NetlinkSocket, request: Request) -> Iterator[str]:
    try:
        netlink.execute([request])
    except NetlinkError as error:
        if error.errno != _HAS_IT or request.type not in (rtnl.RTM_NEWADDR, rtnl.RTM_NEWROUTE):
            yield error.strerror or str(error)


def _addresses(netlink: NetlinkSocket, index: int) -> Iterator[bytes]:
    ask = rtnl.IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index)
    for answer in netlink.query(Request("list addresses", rtnl.RTM_GETADDR, NLM_F_DUMP, ask)):
        _, _, flags, _, owner = rtnl.IFADDRMSG.unpack_from(answer)
        of_ipv6 = answer[0] == socket.AF_INET6
        # Bit 1 means "secondary" in IPv4, where the order keeps it.
        if owner == index and not (of_ipv6 and flags & rtnl.IFA_F_TEMPORARY):
            yield answer[: rtnl.IFADDRMSG.size] + _kept(answer, rtnl.IFADDRMSG.size, _ADDRESS_KEPT)


def _routes(netlink: NetlinkSocket, index: int) -> Iterator[bytes]:
    """Those of the main table with one way to go."""
    ask = rtnl.RTMSG.pack(socket.AF_UNSPEC, *[0] * 8)
    for answer in netlink.query(Request("list routes", rtnl.RTM_GETROUTE, NLM_F_DUMP, ask)):
        family, dst, src, tos, table, origin, scope, kind, flags = rtnl.RTMSG.unpack_from(answer)
        device = dict(attributes(answer, rtnl.RTMSG.size)).get(rtnl.RTA_OIF)
        if (table, kind, device) != (rtnl.RT_TABLE_MAIN, rtnl.RTN_UNICAST, rtnl.U32.pack(index)):
            continue
        if origin not in (rtnl.RTPROT_KERNEL, rtnl.RTPROT_RA):
            asked = flags & rtnl.RTNH_F_ONLINK  # the other flags are answers
            head = rtnl.RTMSG.pack(family, dst, src, tos, table, origin, scope, kind, asked)
            yield head + _kept(answer, rtnl.RTMSG.size, _ROUTE_KEPT)


def _kept(answer: bytes, start: int, kinds: tuple[int, ...]) -> bytes:
    found = attributes(answer, start)
    return b"".join(attribute(kind, value) for kind, value in found if kind in kinds)


def _new_address(body: bytes, index: int) -> Request:
    family, prefix, flags, scope, _ = rtnl.IFADDRMSG.unpack_from(body)
    head = rtnl.IFADDRMSG.pack(family, prefix, flags, scope, index)
    return Request(
        "give back an address", rtnl.RTM_NEWADDR, _NEW, head + body[rtnl.IFADDRMSG.size :]
    )


def _new_route(body: bytes, index: int) -> Request:
    body += attribute(rtnl.RTA_OIF, rtnl.U32.pack(index))
    return Request("give back a route", rtnl.RTM_NEWROUTE, _NEW, body)


def _has_gateway(body: bytes) -> bool:
    return rtnl.RTA_GATEWAY in dict(attributes(body, rtnl.RTMSG.size))
