"""Attaches a container to a bridge: a veth pair, an address, a default route.

The namespace is made before and removed after by the caller (`netns`). Published ports are
`portmap`, masquerading and protection of the network are `ruleset`.

Quick removal: `netns.remove` first, then `delete`. The kernel then takes the veth pair down with
the namespace, in its own time. Where a namespace lives on although it was removed (something still
holds a socket or descriptor of it), `detach` deletes the pair by the name of its host end.
"""

import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cni import ipam, netns, rtnetlink, sysctl
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.ipam import IPAMConfig
from cni.netlink import NetlinkError, tolerating
from cni.rtnetlink import Link, Peer
from cni.spec import IP, Args, Interface, Result, require_interface


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """A bridge that is the gateway of a subnet; `prev_result` is what ADD returned, for CHECK."""

    bridge: str
    ipam: IPAMConfig
    mtu: int = 1500
    prev_result: Result | None = None

    def __post_init__(self) -> None:
        require_interface(self.bridge)


@reported("cannot set up the bridge")
def ensure(conf: BridgeConfig, context: Context) -> Link:
    """Make sure that the bridge is there and up, with the gateway's address, and the host forwards.

    Raises number 7 when a link of that name is no bridge or has another IPv4 address.
    """
    link = _ensure_bridge(conf, context)
    _ensure_address(conf, link, context)
    if not link.up:
        context.links.execute([rtnetlink.link_up(conf.bridge)])
    sysctl.ensure("ipv4/ip_forward", "1")
    # Lets the host reach published ports at 127.0.0.1; `ruleset` keeps containers off it.
    sysctl.ensure(f"ipv4/conf/{conf.bridge}/route_localnet", "1")
    return link


@reported("cannot attach to the bridge")
def add(conf: BridgeConfig, args: Args, context: Context) -> Result:
    """Attach the container and say what was made: bridge, host end, container end, address, route.

    What an earlier, interrupted attempt left is removed first. A failure leaves nothing behind.
    """
    path = _namespace(args)
    bridge = ensure(conf, context)
    try:
        lease = ipam.add(conf.ipam, args, context)
        ip = lease.ips[0]
        _make_pair(conf, args, path, bridge, ip, context)
        inner = _configure(path, conf, args, ip, context)
        # Asking for a link also lets the kernel finish what the carrier of the new pair began (from
        # Linux 6.8 on; a moment later by itself): until then port and bridge drop packets, and a
        # dropped ARP request costs a second. The bridge comes last: it depends on the port.
        outer = _existing(rtnetlink.get_link(context.links, args.host_ifname), args.host_ifname)
        bridge = _existing(rtnetlink.get_link(context.links, conf.bridge), conf.bridge)
    except (CNIError, OSError):
        with suppress(CNIError, OSError):
            delete(conf, args, context)
        raise
    interfaces = (
        Interface(bridge.name, bridge.mac, bridge.mtu),
        Interface(outer.name, outer.mac, outer.mtu),
        Interface(inner.name, inner.mac, inner.mtu, sandbox=str(path)),
    )
    return Result(interfaces, (IP(ip.address, ip.gateway, interface=2),), lease.routes)


@reported("cannot detach from the bridge")
def delete(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Remove the attachment and release its address; may be repeated.

    With the namespace already removed there is no link to delete and it returns at once; else it
    waits for the kernel (10-20 ms).
    """
    try:
        if args.netns is not None and netns.exists(args.netns):
            detach(args, context)
    finally:
        ipam.delete(conf.ipam, args, context)


@reported("cannot delete the veth pair")
def detach(args: Args, context: Context) -> None:
    """Delete the veth pair by the name of its host end, also from a leaked namespace."""
    rtnetlink.delete_link(context.links, args.host_ifname)


@reported("cannot check the attachment")
def check(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Raise number 101 unless all that `conf.prev_result` lists is still so."""
    ipam.check(conf.ipam, args, context)
    if conf.prev_result is None:
        raise CNIError(Code.INVALID_CONFIG, "CHECK needs the result of ADD")
    bridge, outer, inner = conf.prev_result.interfaces
    master = _existing(rtnetlink.get_link(context.links, bridge.name), bridge.name)
    port = _existing(rtnetlink.get_link(context.links, outer.name), outer.name)
    _require(master.kind == "bridge" and master.mac == bridge.mac, f"{bridge.name} was replaced")
    _require(port.master == master.index, f"{outer.name} is no port of {bridge.name}")
    ip = conf.prev_result.ips[0]
    with context.namespaces.call(_namespace(args), rtnetlink.open_socket) as inside:
        link = _existing(rtnetlink.get_link(inside, inner.name), inner.name)
        _require(link.mac == inner.mac and link.up, f"{inner.name} was replaced or is down")
        addresses = rtnetlink.get_addresses(inside, link.index)
        _require(ip.address in addresses, f"{inner.name} has lost its address {ip.address}")
        gateways = rtnetlink.get_default_gateways(inside)
        _require(ip.gateway in gateways, f"there is no default route via {ip.gateway}")


def _ensure_bridge(conf: BridgeConfig, context: Context) -> Link:
    link = rtnetlink.get_link(context.links, conf.bridge)
    if link is None:
        # The same after each reboot, so that no neighbour remembers another one.
        mac = _mac(hashlib.sha256(f"{conf.bridge} {conf.ipam.subnet}".encode()).digest()[:5])
        with tolerating(errno.EEXIST):
            context.links.execute([rtnetlink.new_bridge(conf.bridge, mac, conf.mtu)])
        link = _existing(rtnetlink.get_link(context.links, conf.bridge), conf.bridge)
    if link.kind != "bridge":
        msg = f"{conf.bridge} is not a bridge"
        raise CNIError(Code.INVALID_CONFIG, msg, "choose another name for the bridge")
    return link


def _ensure_address(conf: BridgeConfig, link: Link, context: Context) -> None:
    gateway = conf.ipam.gateway
    present = rtnetlink.get_addresses(context.links, link.index)
    if gateway in present:
        return
    foreign = [str(address) for address in present if address.version == gateway.version]
    if foreign:
        msg = f"bridge {conf.bridge} has the address {foreign[0]}, not {gateway}"
        raise CNIError(Code.INVALID_CONFIG, msg, "remove the bridge or configure its subnet")
    with tolerating(errno.EEXIST):
        context.links.execute([rtnetlink.new_address(link.index, gateway)])


def _namespace(args: Args) -> Path:
    """The namespace to attach to, which must be there and not be the host's own."""
    path = args.netns
    if path is None or not netns.exists(path):
        raise CNIError(Code.INVALID_NAMESPACE, f"{path} is no network namespace")
    if netns.is_own(path):
        raise CNIError(Code.INVALID_NAMESPACE, f"{path} is the namespace of the host itself")
    return path


def _make_pair(
    conf: BridgeConfig, args: Args, path: Path, bridge: Link, ip: IP, context: Context
) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # From the address: a neighbour that remembers a former owner of it is still right.
        peer = Peer(descriptor, args.ifname, _mac(b"\x68" + ip.address.packed))
        pair = rtnetlink.new_veth(args.host_ifname, bridge.index, conf.mtu, peer)
        requests = [pair, rtnetlink.hairpin_on(args.host_ifname)]
        try:
            context.links.execute(requests)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            # Left by an interrupted attempt, or not yet reaped after the last removal.
            detach(args, context)
            context.links.execute(requests)
    finally:
        os.close(descriptor)


def _configure(path: Path, conf: BridgeConfig, args: Args, ip: IP, context: Context) -> Link:
    """Give the container's end its address and route; returns that end."""
    with context.namespaces.call(path, rtnetlink.open_socket) as inside:
        inside.execute([rtnetlink.link_up("lo"), rtnetlink.link_up(args.ifname)])
        link = _existing(rtnetlink.get_link(inside, args.ifname), args.ifname)
        inside.execute(
            [
                rtnetlink.new_address(link.index, ip.address),
                rtnetlink.new_default_route(link.index, conf.ipam.gateway.ip),
            ]
        )
    return link


def _existing(link: Link | None, name: str) -> Link:
    if link is None:
        raise CNIError(Code.CHECK_FAILED, f"interface {name} is not there")
    return link


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise CNIError(Code.CHECK_FAILED, otherwise)


def _mac(tail: bytes) -> str:
    """A locally administered unicast address."""
    return (b"\x02" + tail).hex(":")
