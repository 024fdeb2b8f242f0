"""The bridge itself: the link, and what makes it its containers' gateway.

References: ip-sysctl.rst of the kernel; for the firewall `ruleset` and `networks`.
"""

import errno
from collections.abc import Collection
from ipaddress import IPv6Interface

from cni.bridge.conf import BridgeConfig
from cni.context import Context
from cni.errors import CNIError, Code
from cni.firewall import networks, ruleset
from cni.ipam.addressing import Addressing
from cni.ipam.plugin import IPAMConfig
from cni.ipam.ranges import Interface
from cni.kernel import bridging, ipv6, routes, rtnetlink, sysctl
from cni.kernel.netlink import NetlinkSocket, tolerating
from cni.kernel.rtnetlink import Link
from cni.spec import IP


def ensure_bridge(conf: BridgeConfig, links: NetlinkSocket) -> Link:
    """Make sure that the bridge is there and up. Raises number 7 when that link is no bridge."""
    link = rtnetlink.get_link(links, conf.bridge)
    if link is None:
        # The same after each reboot, so that no neighbour remembers another one.
        mac = derived_mac(f"{conf.bridge} {conf.network}")
        with tolerating(errno.EEXIST):
            links.execute([rtnetlink.new_bridge(conf.bridge, mac, conf.mtu)])
        link = rtnetlink.require_link(links, conf.bridge)
    if link.kind != "bridge":
        msg = f"{conf.bridge} is not a bridge"
        raise CNIError(Code.INVALID_CONFIG, msg, "choose another name for the bridge")
    if not link.up:
        links.execute([rtnetlink.link_up(conf.bridge)])
    if conf.promiscuous:
        links.execute([bridging.set_promiscuous(conf.bridge)])
    # The first port of an idle bridge would begin a search for duplicates of its link-local
    # address, and for those 1 to 2 s the host could not find its containers.
    sysctl.ensure_ipv6(f"conf/{conf.bridge}/accept_dad", "1" if conf.dad else "0")
    # A container must not become the host's router.
    sysctl.ensure_ipv6(f"conf/{conf.bridge}/accept_ra", "0")
    return link


def ensure_gateway(
    conf: BridgeConfig,
    bridge: Link,
    ips: Collection[IP],
    context: Context,
    *,
    anew: bool = False,
) -> None:
    """Let the bridge have the gateways' addresses, the host forward, and the table know of it.

    `anew` also where the table seems to know: others may have taken a part of it. Raises number 7
    when the bridge has other addresses, unless it may lose them.
    """
    if conf.is_gateway:
        _ensure_addresses(conf, bridge, _gateways(ips), context.links)
        versions = {ip.address.version for ip in ips}
        if 4 in versions:
            sysctl.ensure("ipv4/ip_forward", "1")
        if 6 in versions:
            _forward_ipv6()
    if ips and (conf.is_gateway or conf.masquerade):
        ruleset.ensure_table(conf.table, context.firewall)
        # Those of all ranges, not of this attachment only: else each ADD would change the list.
        interfaces = [*_known(conf.addressing), *(ip.address for ip in ips)]
        subnets = tuple(dict.fromkeys(each.network for each in interfaces))
        network = networks.Network(conf.bridge, subnets, masquerade=conf.masquerade)
        networks.enlist(context.firewall, conf.table, network, anew=anew)
    if conf.is_gateway and 4 in {ip.address.version for ip in ips}:
        # Lets the host reach published ports at 127.0.0.1; the table keeps containers off it.
        sysctl.ensure(f"ipv4/conf/{conf.bridge}/route_localnet", "1")


def forget_neighbours(bridge: Link, ips: Collection[IP], links: NetlinkSocket) -> None:
    """Let the host ask anew who has the addresses; what it remembers may be of a former owner."""
    with tolerating(errno.ENOENT):
        links.execute([routes.forget_neighbour(bridge.index, ip.address.ip) for ip in ips])


def require_gateway(bridge: Link, ips: Collection[IP], links: NetlinkSocket) -> None:
    """Raise number 101 unless the bridge has the gateways' addresses."""
    if lost := _gateways(ips) - routes.get_addresses(links, bridge.index):
        msg = f"{bridge.name} has lost its address {', '.join(map(str, lost))}"
        raise CNIError(Code.CHECK_FAILED, msg)


def local_mac(tail: bytes) -> str:
    """A locally administered unicast address, from five bytes."""
    return (b"\x02" + tail).hex(":")


def derived_mac(text: str) -> str:
    """A locally administered unicast address, the same for the same text."""
    from hashlib import sha256  # takes long to import

    return local_mac(sha256(text.encode()).digest()[:5])


def _gateways(ips: Collection[IP]) -> set[Interface]:
    """The gateways with the prefix length of their network; one outside of it is somebody else."""
    return {
        type(ip.address)((ip.gateway, ip.address.network.prefixlen))
        for ip in ips
        if ip.gateway is not None and ip.gateway in ip.address.network
    }


def _ensure_addresses(
    conf: BridgeConfig, bridge: Link, wanted: Collection[Interface], links: NetlinkSocket
) -> None:
    present = routes.get_addresses(links, bridge.index)
    missing = set(wanted) - present
    if not missing:
        return
    if foreign := _foreign(present, {*wanted, *_known(conf.addressing)}):
        if not conf.force_address:
            gateways = ", ".join(sorted(map(str, missing)))
            has = ", ".join(sorted(map(str, foreign)))
            msg = f"bridge {conf.bridge} has the address {has}, not {gateways}"
            raise CNIError(Code.INVALID_CONFIG, msg, "remove the bridge or configure its subnet")
        for address in foreign:
            with tolerating(errno.EADDRNOTAVAIL):
                links.execute([routes.delete_address(bridge.index, address)])
    new = [address.ip for address in missing if isinstance(address, IPv6Interface)]
    if new:
        sysctl.ensure(f"ipv6/conf/{conf.bridge}/disable_ipv6", "0")
    with ipv6.open_events() as events:
        for address in missing:
            with tolerating(errno.EEXIST):
                links.execute([routes.new_address(bridge.index, address, dad=conf.dad)])
        # A search for another owner would not end before there is a container.
        if not conf.dad:
            ipv6.await_usable(links, bridge.index, new, events, heard=False)


def _foreign(present: Collection[Interface], ours: Collection[Interface]) -> list[Interface]:
    """The addresses that contradict ours: any IPv4 address, an IPv6 one in a network of ours."""
    return [
        address
        for address in present
        if address not in ours
        and any(
            address.version == each.version
            and (each.version == 4 or each.network.overlaps(address.network))
            for each in ours
        )
    ]


def _known(addressing: Addressing | None) -> list[Interface]:
    """What the bridge may have for other attachments: the gateways of all ranges."""
    conf = addressing.conf if addressing else None
    return conf.gateways() if isinstance(conf, IPAMConfig) else []


def _forward_ipv6() -> None:
    """Forward between all interfaces; there is no setting for a single one."""
    if sysctl.read("ipv6/conf/all/forwarding") == "1":
        return
    # A router does not listen to routers, unless told to: the host may have its own default route
    # from one.
    for name in sysctl.names("ipv6/conf"):
        if name not in ("all", "default") and sysctl.read(f"ipv6/conf/{name}/accept_ra") == "1":
            sysctl.ensure(f"ipv6/conf/{name}/accept_ra", "2")
    sysctl.ensure("ipv6/conf/all/forwarding", "1")
