"""The dozen rtnetlink messages that attach a container: links, addresses, routes.

Functions that return a `Request` are sent with `NetlinkSocket.execute`, several at once where
order allows; the others ask and return what is there. Which links to make is decided by the
plugins.

References: rtnetlink(7), linux/if_link.h, linux/if_bridge.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import Final

from cni.netlink import (
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

_NETLINK_ROUTE: Final = 0
_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22
_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_INFO_SLAVE_DATA: Final = 5
_IFLA_BRPORT_MODE: Final = 4  # hairpin
_VETH_INFO_PEER: Final = 1
_IFF_UP: Final = 1

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RT_TABLE_MAIN: Final = 254
_RTPROT_BOOT: Final = 3
_RTN_UNICAST: Final = 1

_IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDRMSG: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, proto, scope, type
_U32: Final = struct.Struct("=I")

_NEW: Final = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface, as far as the plugins look at it; `master` is 0 without one."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    master: int
    kind: str


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth pair, born inside the namespace behind `netns_fd`."""

    netns_fd: int
    name: str
    mac: str


def open_socket() -> NetlinkSocket:
    """Return an rtnetlink socket in the calling thread's network namespace."""
    return NetlinkSocket(_NETLINK_ROUTE)


def new_bridge(name: str, mac: str, mtu: int) -> Request:
    """Create a bridge that is up. Its MAC is pinned: it would else follow its ports'."""
    body = _link(_IFF_UP) + _name(name) + _mac(mac) + _u32(_IFLA_MTU, mtu)
    body += nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"bridge"))
    return Request(f"create bridge {name}", _RTM_NEWLINK, _NEW, body)


def new_veth(name: str, master: int, mtu: int, peer: Peer) -> Request:
    """Create a veth pair: this end up and a port of bridge `master`, the other in a namespace.

    The peer cannot be created up (the kernel answers ENOTCONN); bring it up from inside.
    """
    other = _link() + _name(peer.name) + _mac(peer.mac) + _u32(_IFLA_MTU, mtu)
    other += _u32(_IFLA_NET_NS_FD, peer.netns_fd)
    body = _link(_IFF_UP) + _name(name) + _u32(_IFLA_MTU, mtu) + _u32(_IFLA_MASTER, master)
    body += nested(
        _IFLA_LINKINFO,
        attribute(_IFLA_INFO_KIND, b"veth"),
        nested(_IFLA_INFO_DATA, nested(_VETH_INFO_PEER, other)),
    )
    return Request(f"create veth pair {name} with peer {peer.name}", _RTM_NEWLINK, _NEW, body)


def hairpin_on(name: str) -> Request:
    """Let the bridge port send frames back to where they came from."""
    body = _link() + _name(name)
    body += nested(
        _IFLA_LINKINFO,
        attribute(_IFLA_INFO_SLAVE_KIND, b"bridge"),
        nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\x01")),
    )
    return Request(f"set hairpin mode of {name}", _RTM_NEWLINK, NLM_F_ACK, body)


def link_up(name: str) -> Request:
    """Bring a link up."""
    return Request(f"bring {name} up", _RTM_NEWLINK, NLM_F_ACK, _link(_IFF_UP) + _name(name))


def new_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Give the link an address; EEXIST when it has it already."""
    prefix = address.network.prefixlen
    body = _IFADDRMSG.pack(_family(address), prefix, 0, 0, index)
    body += attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)
    if address.version == 4 and prefix < 31:
        body += attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    return Request(f"add address {address}", _RTM_NEWADDR, _NEW, body)


def delete_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Take an address from the link; EADDRNOTAVAIL when it does not have it."""
    body = _IFADDRMSG.pack(_family(address), address.network.prefixlen, 0, 0, index)
    body += attribute(_IFA_LOCAL, address.packed)
    return Request(f"delete address {address}", _RTM_DELADDR, NLM_F_ACK, body)


def new_default_route(index: int, gateway: IPv4Address | IPv6Address) -> Request:
    """Add a default route through `gateway` on the link."""
    body = _RTMSG.pack(_family(gateway), 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, 0, _RTN_UNICAST, 0)
    body += attribute(_RTA_GATEWAY, gateway.packed) + _u32(_RTA_OIF, index)
    return Request(f"add default route via {gateway}", _RTM_NEWROUTE, _NEW, body)


def get_link(netlink: NetlinkSocket, name: str) -> Link | None:
    """Return the link of that name, None when there is none."""
    request = Request(f"look up {name}", _RTM_GETLINK, NLM_F_ACK, _link() + _name(name))
    answers: list[bytes] = []
    with tolerating(errno.ENODEV):
        answers = netlink.query(request)
    return _parse_link(answers[0]) if answers else None


def delete_link(netlink: NetlinkSocket, name: str) -> None:
    """Delete the link of that name; none is fine. The kernel takes 10-20 ms (it waits for RCU)."""
    request = Request(f"delete {name}", _RTM_DELLINK, NLM_F_ACK, _link() + _name(name))
    with tolerating(errno.ENODEV):
        netlink.execute([request])


def get_addresses(netlink: NetlinkSocket, index: int) -> set[IPv4Interface | IPv6Interface]:
    """Return the addresses of a link with their prefix lengths, both families."""
    body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index)
    found = set()
    for answer in netlink.query(Request("list addresses", _RTM_GETADDR, NLM_F_DUMP, body)):
        _, prefix, _, _, owner = _IFADDRMSG.unpack_from(answer)
        values = dict(attributes(answer, _IFADDRMSG.size))
        packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
        if owner == index and packed:
            found.add(ip_interface((packed, prefix)))
    return found


def get_default_gateways(netlink: NetlinkSocket) -> set[IPv4Address | IPv6Address]:
    """Return the gateways of the main table's default routes, both families."""
    body = _RTMSG.pack(socket.AF_UNSPEC, *[0] * 8)
    found = set()
    for answer in netlink.query(Request("list routes", _RTM_GETROUTE, NLM_F_DUMP, body)):
        _, prefix, _, _, table, *_ = _RTMSG.unpack_from(answer)
        gateway = dict(attributes(answer, _RTMSG.size)).get(_RTA_GATEWAY)
        if prefix == 0 and table == _RT_TABLE_MAIN and gateway:
            found.add(ip_address(gateway))
    return found


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    values = dict(attributes(body, _IFINFOMSG.size))
    kind = dict(attributes(values.get(_IFLA_LINKINFO, b""))).get(_IFLA_INFO_KIND, b"")
    return Link(
        index=index,
        name=_text(values[_IFLA_IFNAME]),
        mac=values.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_U32.unpack(values[_IFLA_MTU])[0],
        up=bool(flags & _IFF_UP),
        master=_U32.unpack(values[_IFLA_MASTER])[0] if _IFLA_MASTER in values else 0,
        kind=_text(kind),
    )


def _link(flags: int = 0) -> bytes:
    return _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, flags, flags)


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _mac(mac: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
