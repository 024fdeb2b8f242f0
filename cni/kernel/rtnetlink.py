"""The rtnetlink messages for links; those for addresses and routes are in `routes`.

Functions that return a `Request` are sent with `NetlinkSocket.execute`, several at once where
order allows; the others ask and return what is there. Which links to make is decided by the
plugins.

References: rtnetlink(7), linux/if_link.h, linux/if_bridge.h.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel import rtnl
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

_NETLINK_ROUTE: Final = 0

MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
"""How children of one parent meet (`man ip-link`, MACVLAN)."""

_WITHOUT_STATS: Final = attribute(rtnl.IFLA_EXT_MASK, rtnl.U32.pack(rtnl.RTEXT_FILTER_SKIP_STATS))

_NEW: Final = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
_CHANGE: Final = (rtnl.RTM_SETLINK, NLM_F_ACK)


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface, as far as the plugins look at it; `master` is 0 without one.

    `kind` is empty for a driver's, which the kernel gives back when a namespace dies; the others it
    destroys. `device` names the hardware behind it and `permanent_mac` its MAC (kernels from 5.14
    on), both are empty for an interface without hardware.
    """

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    master: int
    kind: str
    alias: str = ""
    permanent_mac: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth pair, born inside the namespace behind `netns_fd`."""

    netns_fd: int
    name: str
    mac: str


@dataclass(frozen=True, slots=True)
class Child:
    """An interface on top of another, `parent`, to be born inside the namespace behind `netns_fd`.

    `index` must be free there and here: kernels before 6.15 look here whether the link is there
    already, by index if they are given one, else by name, and the host has an `eth0` too.
    Without `mac` the kernel chooses one, with 0 as `mtu` it is the parent's.
    """

    netns_fd: int
    index: int
    name: str
    parent: int
    mac: str = ""
    mtu: int = 0


def open_socket() -> NetlinkSocket:
    """Return an rtnetlink socket in the calling thread's network namespace."""
    return NetlinkSocket(_NETLINK_ROUTE)


def new_bridge(name: str, mac: str, mtu: int) -> Request:
    """Create a bridge that is up. Its MAC is pinned: it would else follow its ports'."""
    body = rtnl.link(rtnl.IFF_UP) + rtnl.name(name) + _mac(mac) + _mtu(mtu)
    body += nested(rtnl.IFLA_LINKINFO, attribute(rtnl.IFLA_INFO_KIND, b"bridge"))
    return Request(f"create bridge {name}", rtnl.RTM_NEWLINK, _NEW, body)


def new_veth(name: str, master: int, mtu: int, peer: Peer) -> Request:
    """Create a veth pair: this end up and a port of bridge `master`, the other in a namespace.

    The peer cannot be created up (the kernel answers ENOTCONN); bring it up from inside.
    """
    other = rtnl.link() + rtnl.name(peer.name) + _mac(peer.mac) + _mtu(mtu)
    other += rtnl.u32(rtnl.IFLA_NET_NS_FD, peer.netns_fd)
    body = rtnl.link(rtnl.IFF_UP) + rtnl.name(name) + _mtu(mtu) + rtnl.u32(rtnl.IFLA_MASTER, master)
    body += nested(
        rtnl.IFLA_LINKINFO,
        attribute(rtnl.IFLA_INFO_KIND, b"veth"),
        nested(rtnl.IFLA_INFO_DATA, nested(rtnl.VETH_INFO_PEER, other)),
    )
    return Request(f"create veth pair {name} with peer {peer.name}", rtnl.RTM_NEWLINK, _NEW, body)


def new_macvlan(child: Child, mode: str) -> Request:
    """Create a macvlan child with one of `MACVLAN_MODES`."""
    return _new_child("macvlan", child, rtnl.u32(rtnl.IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]))


def new_vlan(child: Child, tag: int) -> Request:
    """Create a child that sends and receives what has this 802.1Q tag."""
    return _new_child("vlan", child, attribute(rtnl.IFLA_VLAN_ID, rtnl.U16.pack(tag)))


def _new_child(kind: str, child: Child, data: bytes) -> Request:
    body = (
        rtnl.link(index=child.index)
        + rtnl.name(child.name)
        + rtnl.u32(rtnl.IFLA_LINK, child.parent)
    )
    body += rtnl.u32(rtnl.IFLA_NET_NS_FD, child.netns_fd)
    body += _mac(child.mac) if child.mac else b""
    body += rtnl.u32(rtnl.IFLA_MTU, child.mtu) if child.mtu else b""
    body += nested(
        rtnl.IFLA_LINKINFO,
        attribute(rtnl.IFLA_INFO_KIND, kind.encode()),
        nested(rtnl.IFLA_INFO_DATA, data),
    )
    return Request(f"create {kind} {child.name}", rtnl.RTM_NEWLINK, _NEW, body)


def move_link(index: int, netns_fd: int, name: str) -> Request:
    """Move a link into a namespace, there with this name; a `%d` in it is a number that is free.

    It goes down and loses its addresses and routes, index and alias stay. When the name is taken
    (EEXIST), it may have been moved nevertheless.
    """
    body = rtnl.link(index=index) + rtnl.name(name) + rtnl.u32(rtnl.IFLA_NET_NS_FD, netns_fd)
    return Request(f"move link {index} to another namespace as {name}", *_CHANGE, body)


def rename_link(index: int, name: str) -> Request:
    """Give a link, which must be down, another name."""
    return Request(
        f"rename link {index} to {name}", *_CHANGE, rtnl.link(index=index) + rtnl.name(name)
    )


def set_alias(index: int, alias: str) -> Request:
    """Give a link a note of at most 255 bytes, which moves with it; "" takes it away."""
    body = rtnl.link(index=index) + attribute(rtnl.IFLA_IFALIAS, alias.encode())
    return Request(f"set the alias of link {index}", *_CHANGE, body)


def set_mac(index: int, mac: str) -> Request:
    """Give a link, which had better be down, another MAC."""
    return Request(f"set MAC {mac}", *_CHANGE, rtnl.link(index=index) + _mac(mac))


def set_mtu(index: int, mtu: int) -> Request:
    """Give a link another MTU."""
    return Request(
        f"set MTU {mtu}", *_CHANGE, rtnl.link(index=index) + rtnl.u32(rtnl.IFLA_MTU, mtu)
    )


def set_up(index: int, *, up: bool) -> Request:
    """Bring a link up or down, by its index."""
    body = rtnl.IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, rtnl.IFF_UP if up else 0, rtnl.IFF_UP)
    return Request(f"bring link {index} {'up' if up else 'down'}", *_CHANGE, body)


def link_up(name: str) -> Request:
    """Bring a link up."""
    return Request(
        f"bring {name} up", rtnl.RTM_NEWLINK, NLM_F_ACK, rtnl.link(rtnl.IFF_UP) + rtnl.name(name)
    )


def get_link(netlink: NetlinkSocket, name: str) -> Link | None:
    """Return the link of that name, None when there is none."""
    return _looked_up(netlink, f"look up {name}", rtnl.link() + rtnl.name(name))


def require_link(netlink: NetlinkSocket, name: str) -> Link:
    """Return the link of that name; raises number 101 when there is none."""
    link = get_link(netlink, name)
    if link is None:
        raise CNIError(Code.CHECK_FAILED, f"interface {name} is not there")
    return link


def link_at(netlink: NetlinkSocket, index: int) -> Link | None:
    """Return the link of that index, None when there is none."""
    return _looked_up(netlink, f"look up link {index}", rtnl.link(index=index))


def list_links(netlink: NetlinkSocket) -> list[Link]:
    """Return all links."""
    request = Request("list links", rtnl.RTM_GETLINK, NLM_F_DUMP, rtnl.link() + _WITHOUT_STATS)
    return [_parse_link(answer) for answer in netlink.query(request)]


def delete_link_at(netlink: NetlinkSocket, index: int) -> None:
    """Delete the link of that index; none is fine."""
    request = Request(f"delete link {index}", rtnl.RTM_DELLINK, NLM_F_ACK, rtnl.link(index=index))
    with tolerating(errno.ENODEV):
        netlink.execute([request])


def delete_link(netlink: NetlinkSocket, name: str) -> None:
    """Delete the link of that name; none is fine. The kernel takes 10-20 ms (it waits for RCU)."""
    request = Request(f"delete {name}", rtnl.RTM_DELLINK, NLM_F_ACK, rtnl.link() + rtnl.name(name))
    with tolerating(errno.ENODEV):
        netlink.execute([request])


def _looked_up(netlink: NetlinkSocket, what: str, body: bytes) -> Link | None:
    request = Request(what, rtnl.RTM_GETLINK, NLM_F_ACK, body + _WITHOUT_STATS)
    answers: list[bytes] = []
    with tolerating(errno.ENODEV):
        answers = netlink.query(request)
    return _parse_link(answers[0]) if answers else None


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = rtnl.IFINFOMSG.unpack_from(body)
    values = dict(attributes(body, rtnl.IFINFOMSG.size))
    kind = dict(attributes(values.get(rtnl.IFLA_LINKINFO, b""))).get(rtnl.IFLA_INFO_KIND, b"")
    return Link(
        index=index,
        name=rtnl.text(values[rtnl.IFLA_IFNAME]),
        mac=values.get(rtnl.IFLA_ADDRESS, b"").hex(":"),
        mtu=rtnl.U32.unpack(values[rtnl.IFLA_MTU])[0],
        up=bool(flags & rtnl.IFF_UP),
        master=rtnl.U32.unpack(values[rtnl.IFLA_MASTER])[0] if rtnl.IFLA_MASTER in values else 0,
        kind=rtnl.text(kind),
        alias=values.get(rtnl.IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
        permanent_mac=values.get(rtnl.IFLA_PERM_ADDRESS, b"").hex(":"),
        device=rtnl.text(values.get(rtnl.IFLA_PARENT_DEV_NAME, b"")),
    )


def _mac(mac: str) -> bytes:
    return attribute(rtnl.IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _mtu(mtu: int) -> bytes:
    """0 leaves it to the kernel."""
    return rtnl.u32(rtnl.IFLA_MTU, mtu) if mtu else b""
