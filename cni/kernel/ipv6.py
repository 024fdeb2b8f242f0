"""Waiting until IPv6 addresses can be used.

The kernel adds an address at once and goes on in its own time: it searches for a second owner if it
is told to (RFC 4862), and makes the route by which it takes what is sent there for its own. A link
that comes up hears multicast, and so its neighbours, a moment later. Before, packets are dropped.
"""

import select
import socket
import time
from collections.abc import Collection
from ipaddress import IPv6Address
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel import routes, rtnl
from cni.kernel.netlink import NetlinkSocket

_DEADLINE_S: Final = 10.0
"""A random second before the first probe, another one for the answer, and the port's learning."""


def open_events() -> socket.socket:
    """Return a socket with a message for each change of an IPv6 address or route here."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
    events.bind((0, rtnl.RTMGRP_IPV6_IFADDR | rtnl.RTMGRP_IPV6_ROUTE))
    return events


def await_usable(
    links: NetlinkSocket,
    index: int,
    addresses: Collection[IPv6Address],
    events: socket.socket,
    *,
    heard: bool = True,
) -> None:
    """Wait until the addresses of a link can be used. `events` was opened before they were added.

    With `heard` also until neighbours can find them; the link must have a carrier. Raises number 11
    when somebody else has one of them, or after ten seconds.
    """
    deadline = time.monotonic() + _DEADLINE_S
    poll = select.poll()
    poll.register(events, select.POLLIN)
    while not (
        all(routes.is_local(links, each) for each in addresses)
        and (not heard or routes.hears_multicast(links, index))
    ):
        if failed := routes.get_duplicates(links, index):
            msg = f"somebody else has the address {', '.join(map(str, failed))}"
            raise CNIError(Code.TRY_AGAIN_LATER, msg, "duplicate address detection (DADFAILED)")
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            msg = f"the address {', '.join(map(str, addresses))} stays tentative"
            raise CNIError(Code.TRY_AGAIN_LATER, msg)
        events.recv(65536)
