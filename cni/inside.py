"""A container's end of an attachment: what is set up inside its namespace, and looked at there.

Each function makes one hop into the namespace, to open a socket and write settings.
"""

import socket
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel import ipv6, neighbours, routes, rtnetlink, sysctl
from cni.kernel.netlink import NetlinkSocket
from cni.kernel.netns import NamespaceThread
from cni.kernel.rtnetlink import Link
from cni.spec import IP, Route

INSTANCE_METADATA: Final = (IPv4Network("169.254.169.254/32"), IPv6Network("fd00:ec2::254/128"))
"""Where a cloud's virtual machine asks about itself, and gets the machine's credentials."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What an interface is to have; without `up` it stays as it was made.

    `announce`: neighbours are told, who may remember another MAC of its addresses.
    """

    ifname: str
    ips: tuple[IP, ...] = ()
    routes: tuple[Route, ...] = ()
    up: bool = True
    dad: bool = False
    announce: bool = False
    block_metadata: bool = False


def configure(setup: Setup, path: Path, threads: NamespaceThread) -> Link:
    """Set up the interface, and `lo`; returns it as it was before.

    It waits until its IPv6 addresses can be used: a moment, with `dad` a second or two. Raises
    number 11 when somebody else has one.
    """
    name = setup.ifname
    with ExitStack() as closing:
        links, events = threads.call(path, lambda: _enter(setup, closing))
        link = rtnetlink.require_link(links, name)
        requests = [rtnetlink.link_up("lo")]
        # Before it is up, so that going up announces them.
        requests += [routes.new_address(link.index, ip.address, dad=setup.dad) for ip in setup.ips]
        if setup.up:
            requests.append(rtnetlink.link_up(name))
        requests += [
            routes.new_route(link.index, route, onlink=_is_beyond(route, setup.ips))
            for route in with_gateways(setup.routes, setup.ips)
        ]
        if setup.block_metadata:
            requests += [routes.new_blackhole(dst) for dst in _blocked()]
        links.execute(requests)
        news = [ip.address.ip for ip in setup.ips if isinstance(ip.address, IPv6Interface)]
        if events is not None and setup.up:
            # Asking for the link lets the kernel finish what its carrier began (Linux 6.8).
            rtnetlink.require_link(links, name)
            ipv6.await_usable(links, link.index, news, events)
    if setup.announce and setup.up and news:
        with suppress(OSError):  # neighbours would find out by themselves
            threads.call(path, lambda: neighbours.announce(link, news))
    return link


def check(setup: Setup, mac: str, path: Path, threads: NamespaceThread) -> None:
    """Raise number 101 unless the interface is still so; an empty `mac` is any."""
    name = setup.ifname
    with threads.call(path, rtnetlink.open_socket) as links:
        link = rtnetlink.require_link(links, name)
        require(mac in ("", link.mac), f"{name} was replaced: its MAC is {link.mac}, not {mac}")
        require(link.up or not setup.up, f"{name} is down")
        lost = {ip.address for ip in setup.ips} - routes.get_addresses(links, link.index)
        require(not lost, f"{name} has lost its address {', '.join(map(str, lost))}")
        found = routes.get_routes(links)
        for route in with_gateways(setup.routes, setup.ips):
            via = f" via {route.gw}" if route.gw else ""
            # In whatever table: a later plugin may have moved it there.
            there = any((each.dst, each.gw) == (route.dst, route.gw) for each in found)
            require(there, f"there is no route to {route.dst}{via}")
        if setup.block_metadata:
            blocked = {each.dst for each in found if each.blackhole}
            require(blocked.issuperset(_blocked()), "instance metadata is not blocked")


def require(holds: object, otherwise: str) -> None:
    """Raise number 101 with these words unless it holds."""
    if not holds:
        raise CNIError(Code.CHECK_FAILED, otherwise)


def with_gateways(wanted: Collection[Route], ips: Collection[IP]) -> list[Route]:
    """The routes with the gateway of an address of their family, where they say none (CNI)."""
    found = []
    for route in wanted:
        of_family = (ip.gateway for ip in ips if ip.address.version == route.dst.version)
        gw = route.gw or next((gateway for gateway in of_family if gateway), None)
        found.append(
            Route(route.dst, gw, route.mtu, route.advmss, route.priority, route.table, route.scope)
        )
    return found


def _enter(setup: Setup, closing: ExitStack) -> tuple[NetlinkSocket, socket.socket | None]:
    """What needs the namespace itself. The settings must be made before the link goes up."""
    events = None
    if setup.announce:
        sysctl.ensure(f"ipv4/conf/{setup.ifname}/arp_notify", "1")
    if any(ip.address.version == 6 for ip in setup.ips):
        for name in ("lo", setup.ifname):
            sysctl.ensure(f"ipv6/conf/{name}/disable_ipv6", "0")
        # An IPv6 address that is given again has another MAC than before.
        sysctl.ensure(f"ipv6/conf/{setup.ifname}/ndisc_notify", "1")
        sysctl.ensure(f"ipv6/conf/{setup.ifname}/accept_dad", "1" if setup.dad else "0")
        events = closing.enter_context(ipv6.open_events())
    return closing.enter_context(rtnetlink.open_socket()), events


def _blocked() -> tuple[IPv4Network | IPv6Network, ...]:
    return INSTANCE_METADATA if sysctl.has_ipv6() else INSTANCE_METADATA[:1]


def _is_beyond(route: Route, ips: Collection[IP]) -> bool:
    """Whether the gateway is outside of all prefixes, and the kernel must be told where it is."""
    gw = route.gw
    return (
        gw is not None and not gw.is_link_local and all(gw not in ip.address.network for ip in ips)
    )
