"""The rtnetlink messages for addresses and routes; those for links are in `rtnetlink`.

Functions that return a `Request` are sent with `NetlinkSocket.execute`, several at once where
order allows; the others ask and return what is there.

References: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final

from cni.kernel import rtnl
from cni.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
    tolerating,
)
from cni.spec import Route

_NDA_DST: Final = 1

_NDMSG: Final = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type

_NEW: Final = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """A unicast or blackhole route as the kernel has it; index 0 is no link."""

    dst: IPv4Network | IPv6Network
    gw: IPv4Address | IPv6Address | None
    index: int
    table: int
    blackhole: bool = False


def new_address(index: int, address: IPv4Interface | IPv6Interface, *, dad: bool = True) -> Request:
    """Give the link an address; EEXIST when it has it already.

    An IPv6 address is usable at once without `dad`, the search for a second owner (RFC 4862).
    """
    prefix = address.network.prefixlen
    flags = 0 if dad or address.version == 4 else rtnl.IFA_F_NODAD
    body = rtnl.IFADDRMSG.pack(_family(address), prefix, flags, 0, index)
    body += attribute(rtnl.IFA_LOCAL, address.packed) + attribute(rtnl.IFA_ADDRESS, address.packed)
    if address.version == 4 and prefix < 31:
        body += attribute(rtnl.IFA_BROADCAST, address.network.broadcast_address.packed)
    return Request(f"add address {address}", rtnl.RTM_NEWADDR, _NEW, body)


def delete_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Take an address from the link; EADDRNOTAVAIL when it does not have it."""
    body = rtnl.IFADDRMSG.pack(_family(address), address.network.prefixlen, 0, 0, index)
    body += attribute(rtnl.IFA_LOCAL, address.packed)
    return Request(f"delete address {address}", rtnl.RTM_DELADDR, NLM_F_ACK, body)


def new_route(index: int, route: Route, *, onlink: bool = False) -> Request:
    """Add a route on the link; a second gateway of one destination is fine, EEXIST for the same.

    A gateway that is in none of the link's prefixes must be `onlink`.
    """
    # Without a gateway all of an IPv4 destination is on the link, which the kernel wants to hear.
    near = rtnl.RT_SCOPE_LINK if route.gw is None and route.dst.version == 4 else 0
    scope = near if route.scope is None else route.scope
    body = _route(route.dst, scope, rtnl.RTN_UNICAST, rtnl.RTNH_F_ONLINK if onlink else 0)
    body += rtnl.u32(rtnl.RTA_TABLE, rtnl.RT_TABLE_MAIN if route.table is None else route.table)
    body += rtnl.u32(rtnl.RTA_OIF, index)
    if route.gw is not None:
        body += attribute(rtnl.RTA_GATEWAY, route.gw.packed)
    if route.priority is not None:
        body += rtnl.u32(rtnl.RTA_PRIORITY, route.priority)
    metrics = [(rtnl.RTAX_MTU, route.mtu), (rtnl.RTAX_ADVMSS, route.advmss)]
    if said := [rtnl.u32(kind, value) for kind, value in metrics if value]:
        body += nested(rtnl.RTA_METRICS, *said)
    via = f" via {route.gw}" if route.gw else ""
    return Request(
        f"add route to {route.dst}{via}", rtnl.RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, body
    )


def new_blackhole(dst: IPv4Network | IPv6Network) -> Request:
    """Let nothing be sent there: connect(2) fails at once. May be repeated."""
    body = _route(dst, 0, rtnl.RTN_BLACKHOLE, 0) + rtnl.u32(rtnl.RTA_TABLE, rtnl.RT_TABLE_MAIN)
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return Request(f"block {dst}", rtnl.RTM_NEWROUTE, flags, body)


def forget_neighbour(index: int, address: IPv4Address | IPv6Address) -> Request:
    """Ask anew for the MAC of an address behind the link; ENOENT when none is remembered."""
    body = _NDMSG.pack(_family(address), index, 0, 0, 0) + attribute(_NDA_DST, address.packed)
    return Request(f"forget neighbour {address}", rtnl.RTM_DELNEIGH, NLM_F_ACK, body)


def get_addresses(netlink: NetlinkSocket, index: int) -> set[IPv4Interface | IPv6Interface]:
    """Return the addresses of a link with their prefix lengths, both families."""
    return set(_addresses(netlink, index))


def get_duplicates(netlink: NetlinkSocket, index: int) -> set[IPv4Interface | IPv6Interface]:
    """Return the addresses of a link that turned out to be somebody else's (DADFAILED)."""
    found = _addresses(netlink, index).items()
    return {address for address, flags in found if flags & rtnl.IFA_F_DADFAILED}


def is_local(netlink: NetlinkSocket, address: IPv4Address | IPv6Address) -> bool:
    """Whether what is sent to the address is taken for this namespace's own."""
    return _kind_of_route(netlink, address, b"") == rtnl.RTN_LOCAL


def hears_multicast(netlink: NetlinkSocket, index: int) -> bool:
    """Whether IPv6 works on the link: else it hears no neighbour ask for its addresses."""
    all_nodes = IPv6Address("ff02::1")
    return _kind_of_route(netlink, all_nodes, rtnl.u32(rtnl.RTA_OIF, index)) == rtnl.RTN_MULTICAST


def get_routes(netlink: NetlinkSocket) -> list[KernelRoute]:
    """Return the unicast and blackhole routes of all tables, both families."""
    body = rtnl.RTMSG.pack(socket.AF_UNSPEC, *[0] * 8)
    answers = netlink.query(Request("list routes", rtnl.RTM_GETROUTE, NLM_F_DUMP, body))
    return [
        _parse_route(answer)
        for answer in answers
        if rtnl.RTMSG.unpack_from(answer)[7] in (rtnl.RTN_UNICAST, rtnl.RTN_BLACKHOLE)
    ]


def get_owners(netlink: NetlinkSocket) -> dict[IPv4Address | IPv6Address, int]:
    """Return all addresses with the index of the link that has each; link-local ones left out."""
    body = rtnl.IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    found: dict[IPv4Address | IPv6Address, int] = {}
    for answer in netlink.query(Request("list addresses", rtnl.RTM_GETADDR, NLM_F_DUMP, body)):
        _, _, _, scope, owner = rtnl.IFADDRMSG.unpack_from(answer)
        values = dict(attributes(answer, rtnl.IFADDRMSG.size))
        packed = values.get(rtnl.IFA_LOCAL) or values.get(rtnl.IFA_ADDRESS)
        if packed and scope != rtnl.RT_SCOPE_LINK:
            found[ip_address(packed)] = owner
    return found


def _addresses(netlink: NetlinkSocket, index: int) -> dict[IPv4Interface | IPv6Interface, int]:
    """The addresses of a link, each with its flags."""
    body = rtnl.IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index)
    found = {}
    for answer in netlink.query(Request("list addresses", rtnl.RTM_GETADDR, NLM_F_DUMP, body)):
        _, prefix, flags, _, owner = rtnl.IFADDRMSG.unpack_from(answer)
        values = dict(attributes(answer, rtnl.IFADDRMSG.size))
        packed = values.get(rtnl.IFA_LOCAL) or values.get(rtnl.IFA_ADDRESS)
        if owner == index and packed:
            found[ip_interface((packed, prefix))] = flags
    return found


def _kind_of_route(
    netlink: NetlinkSocket, address: IPv4Address | IPv6Address, more: bytes
) -> int | None:
    body = rtnl.RTMSG.pack(_family(address), address.max_prefixlen, *[0] * 7)
    body += attribute(rtnl.RTA_DST, address.packed) + more
    request = Request(f"look up the route to {address}", rtnl.RTM_GETROUTE, NLM_F_ACK, body)
    answers: list[bytes] = []
    with tolerating(errno.ENETUNREACH):
        answers = netlink.query(request)
    kind: int | None = rtnl.RTMSG.unpack_from(answers[0])[7] if answers else None
    return kind


def _parse_route(body: bytes) -> KernelRoute:
    family, prefix, _, _, table, _, _, kind, _ = rtnl.RTMSG.unpack_from(body)
    values = dict(attributes(body, rtnl.RTMSG.size))
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    gateway = values.get(rtnl.RTA_GATEWAY)
    return KernelRoute(
        dst=ip_network((values.get(rtnl.RTA_DST, anywhere), prefix)),
        gw=ip_address(gateway) if gateway else None,
        index=rtnl.U32.unpack(values.get(rtnl.RTA_OIF, bytes(4)))[0],
        # Tables from 256 on don't fit into the header.
        table=rtnl.U32.unpack(values[rtnl.RTA_TABLE])[0] if rtnl.RTA_TABLE in values else table,
        blackhole=kind == rtnl.RTN_BLACKHOLE,
    )


def _route(dst: IPv4Network | IPv6Network, scope: int, kind: int, flags: int) -> bytes:
    family = socket.AF_INET if dst.version == 4 else socket.AF_INET6
    fixed = (0, 0, rtnl.RT_TABLE_UNSPEC, rtnl.RTPROT_BOOT, scope, kind, flags)
    header = rtnl.RTMSG.pack(family, dst.prefixlen, *fixed)
    return header + attribute(rtnl.RTA_DST, dst.network_address.packed) if dst.prefixlen else header


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
