"""Which interfaces the host has, kept current by the kernel's own messages: nothing is polled.

For whoever waits for a NIC to appear. A first dump and then the multicast group of links. Hosts
make and lose the veth pairs of containers all the time; `linkfilter` has the kernel throw those
messages away, so that a storm of them does not even wake the watcher. Only veths that are named
like a container's are left out: where Hostler itself runs in a container, its NICs are veths too.

References: rtnetlink(7), netlink(7), linux/if_link.h.
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from cni.kernel import linkfilter, rtnl
from cni.kernel.netlink import NLM_F_DUMP, NetlinkSocket, Request, attribute, attributes

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE_BYTES: Final = 4
_OF_VETH: Final = attribute(rtnl.IFLA_INFO_KIND, b"veth\0").rstrip(b"\0")
_BUFFER_BYTES: Final = 65536
# At boot dozens of interfaces come at once, at about 2 KiB each.
_QUEUE_BYTES: Final = 1 << 20

_CHILDREN: Final = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"})
_GROUPS: Final = frozenset({"bridge", "bond", "team", "openvswitch"})


@dataclass(frozen=True, slots=True)
class SeenLink:
    """An interface of the host; `parent` and `master` are indexes, 0 for none.

    `kind` is empty for hardware, whose name on its bus is `device` (where the kernel tells: 5.14).
    A new alias is told only of a link that is up.
    """

    index: int
    name: str
    mac: str
    kind: str = ""
    parent: int = 0
    master: int = 0
    alias: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs since the last look; an interface with a new name or MAC is in both."""

    appeared: tuple[SeenLink, ...] = ()
    gone: tuple[SeenLink, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.appeared or self.gone)


class LinkTable:
    """The interfaces by index, without the veths that a watch hides."""

    def __init__(self, links: Iterable[SeenLink] = ()) -> None:
        self._links = {each.index: each for each in links}

    def __iter__(self) -> Iterator[SeenLink]:
        return iter(self._links.values())

    def by_index(self, index: int) -> SeenLink | None:
        """Return the interface of that index, None when there is none."""
        return self._links.get(index)

    def by_name(self, name: str) -> SeenLink | None:
        """Return the interface of that name, None when there is none."""
        return next((each for each in self if each.name == name), None)

    def nic_by_mac(self, mac: str) -> SeenLink | None:
        """Return the NIC with this MAC (lower case), None when there is none.

        A MAC is not unique: VLAN children have that of their trunk, a bridge or bond that of a
        port, and the two halves of an accelerated NIC share one (the half to use is the master of
        the other). So hardware comes first, then what a guest may have in its stead (tap, veth).
        """
        unfit = _CHILDREN | _GROUPS
        candidates = [each for each in self if each.mac == mac and each.kind not in unfit]
        return min(candidates, key=_unlikeliness, default=None)

    def put(self, link: SeenLink) -> None:
        """Take what is known of one interface now."""
        self._links[link.index] = link

    def drop(self, index: int) -> None:
        """Forget one interface; an unknown one is fine."""
        self._links.pop(index, None)

    def replace(self, links: Iterable[SeenLink]) -> None:
        """Take a new whole."""
        self._links = {each.index: each for each in links}

    def since(self, before: "LinkTable") -> Changes:
        """Return what is here and was not, and what was and is not."""
        new, old = self._links, before._links
        if new == old:
            return Changes()
        return Changes(
            tuple(each for index, each in new.items() if old.get(index) != each),
            tuple(each for index, each in old.items() if new.get(index) != each),
        )


class LinkWatch:
    """Keeps a LinkTable of the calling thread's network namespace. Select on it for reading."""

    def __init__(self, hidden: Collection[str] = ("veth",)) -> None:
        """Listen, then look. Leaves out the veths whose names begin with one of `hidden`.

        Only the first four bytes of each are looked at. Raises OSError.
        """
        self.links = LinkTable()
        self._told = LinkTable()
        self._hidden = tuple(each.encode()[:4] for each in hidden)
        self._lost = True
        self._asking = NetlinkSocket(socket.NETLINK_ROUTE)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._events = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        try:
            linkfilter.attach(self._events, self._hidden)
            self._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
            self._events.bind((0, rtnl.RTMGRP_LINK))
            self.read()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `read` has something to do."""
        return self._events.fileno()

    def close(self) -> None:
        """Listen no more."""
        self._events.close()
        self._asking.close()

    def read(self) -> Changes:
        """Take in what the kernel has said, without waiting; returns what differs in the end.

        When it said more than was kept, all is looked at anew. Raises OSError if that fails: call
        again some time.
        """
        while True:
            try:
                datagram, (sender, _) = self._events.recvfrom(_BUFFER_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._lost = True
                continue
            if sender == 0:  # the kernel; root may send to the group as well
                self._take(datagram)
        if self._lost:
            bodies = self._asking.query(_EVERYTHING)
            self.links.replace(each for each in map(self._seen, bodies) if each)
            self._lost = False
        changes = self.links.since(self._told)
        if changes:
            self._told.replace(self.links)
        return changes

    def _take(self, datagram: bytes) -> None:
        _, kind, _, _, _ = _HEADER.unpack_from(datagram)
        body = datagram[_HEADER.size :]
        if kind == rtnl.RTM_DELLINK:
            self.links.drop(rtnl.IFINFOMSG.unpack_from(body)[2])
        elif link := self._seen(body):
            self.links.put(link)

    def _seen(self, body: bytes) -> SeenLink | None:
        """The interface that a message speaks of, unless it is hidden."""
        first = rtnl.IFINFOMSG.size + _ATTRIBUTE_BYTES
        if body.startswith(self._hidden, first) and _OF_VETH in body:
            return None  # before it costs anything; the name is always the first attribute
        values = dict(attributes(body, rtnl.IFINFOMSG.size))
        if rtnl.IFLA_MTU not in values:
            return None  # a message of the wireless extensions tells only what is new
        info = dict(attributes(values.get(rtnl.IFLA_LINKINFO, b"")))
        return SeenLink(
            index=rtnl.IFINFOMSG.unpack_from(body)[2],
            name=rtnl.text(values.get(rtnl.IFLA_IFNAME, b"")),
            mac=values.get(rtnl.IFLA_ADDRESS, b"").hex(":"),
            kind=rtnl.text(info.get(rtnl.IFLA_INFO_KIND, b"")),
            parent=_u32(values.get(rtnl.IFLA_LINK)),
            master=_u32(values.get(rtnl.IFLA_MASTER)),
            alias=rtnl.text(values.get(rtnl.IFLA_IFALIAS, b"")),
            device=rtnl.text(values.get(rtnl.IFLA_PARENT_DEV_NAME, b"")),
        )


def _unlikeliness(link: SeenLink) -> tuple[bool, bool, bool, int]:
    return bool(link.master), not link.device, bool(link.kind), link.index


def _u32(value: bytes | None) -> int:
    return rtnl.U32.unpack(value)[0] if value else 0


_EVERYTHING: Final = Request(
    "list the interfaces",
    rtnl.RTM_GETLINK,
    NLM_F_DUMP,
    rtnl.IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    + attribute(rtnl.IFLA_EXT_MASK, rtnl.U32.pack(rtnl.RTEXT_FILTER_SKIP_STATS)),
)
