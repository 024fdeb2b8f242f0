"""Attaches a container to a bridge: a veth pair, addresses, routes.

The namespace is made before and removed after by the caller (`netns`). The keys are in
`bridgeconf`; the bridge itself is `gateway`'s, the container's end `inside`'s.

Quick removal: `netns.remove` first, then `delete`. The kernel then takes the veth pair down with
the namespace, in its own time. Where a namespace lives on although it was removed (something still
holds a socket or descriptor of it), `detach` deletes the pair by the name of its host end.
"""

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from cni import inside
from cni.bridge import gateway
from cni.bridge.conf import BridgeConfig, completed, mac_of, parse
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.inside import Setup, require
from cni.kernel import bridging, netns, rtnetlink, sysctl
from cni.kernel.netlink import NetlinkError
from cni.kernel.rtnetlink import Link, Peer
from cni.spec import IP, Args, Attachment, Interface, Result, host_ifname

__all__ = ["BridgeConfig", "add", "check", "delete", "detach", "gc", "parse", "status"]

_INNER: Final = 2
"""Place of the container's end among the interfaces of a result."""


@reported("cannot attach to the bridge")
def add(conf: BridgeConfig, args: Args, context: Context) -> Result:
    """Attach the container and say what was made: bridge, host end, container end, addresses.

    What an earlier, interrupted attempt left is taken over. A failure leaves nothing behind.
    """
    path = netns.required(args.netns)
    host_end = host_ifname(conf.veth_prefix, args.attachment)
    mac = mac_of(conf, args)
    bridge = gateway.ensure_bridge(conf, context.links)
    try:
        lease = completed(conf, _lease(conf, args, context))
        gateway.ensure_gateway(conf, bridge, lease.ips, context)
        peer_mac = mac or _default_mac(args, lease.ips)
        _make_pair(conf, args, path, bridge, peer_mac, context)
        setup = _setup(conf, args, lease, announce=bool(mac))
        inner = inside.configure(setup, path, context.namespaces)
        # The container announces itself, but its port may not pass that on yet. Only with IPv4's
        # default MAC it has the same one as every owner of its address.
        if anew := [ip for ip in lease.ips if mac or ip.address.version == 6]:
            gateway.forget_neighbours(bridge, anew, context.links)
        # Asking for a link also lets the kernel finish what the carrier of the new pair began (from
        # Linux 6.8 on; a moment later by itself): until then port and bridge drop packets, and a
        # dropped ARP request costs a second. The bridge comes last: it depends on the port.
        outer = rtnetlink.require_link(context.links, host_end)
        bridge = rtnetlink.require_link(context.links, conf.bridge)
    except (CNIError, OSError):
        with suppress(CNIError, OSError):
            delete(conf, args, context)
        raise
    interfaces = (
        Interface(bridge.name, bridge.mac, bridge.mtu),
        Interface(outer.name, outer.mac, outer.mtu),
        Interface(inner.name, inner.mac, inner.mtu, sandbox=str(path)),
    )
    ips = tuple(IP(ip.address, ip.gateway, _INNER) for ip in lease.ips)
    return Result(interfaces, ips, lease.routes, lease.dns)


@reported("cannot restore the bridge")
def restore(conf: BridgeConfig, args: Args, context: Context) -> None:
    """See that the bridge has its addresses, and the firewall's table knows of it."""
    if args.prev is not None:
        bridge = gateway.ensure_bridge(conf, context.links)
        gateway.ensure_gateway(conf, bridge, args.prev.ips, context, anew=True)


@reported("cannot detach from the bridge")
def delete(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Remove the attachment and release its addresses; may be repeated.

    With the namespace already removed there is no link to delete and it returns at once; else it
    waits for the kernel (10-20 ms).
    """
    try:
        if args.netns is not None and netns.exists(args.netns):
            detach(conf, args, context)
            _detach_recorded(conf, args, context)
    finally:
        if conf.addressing:
            conf.addressing.delete(args, context)


@reported("cannot delete the veth pair")
def detach(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Delete the veth pair by the name of its host end, also from a leaked namespace."""
    rtnetlink.delete_link(context.links, host_ifname(conf.veth_prefix, args.attachment))


@reported("cannot check the attachment")
def check(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Raise number 101 unless all that ADD made is still so; plugins after it may have added."""
    if args.prev is None:
        raise CNIError(Code.INVALID_CONFIG, "CHECK needs the result of ADD")
    if conf.addressing:
        conf.addressing.check(args, context)
    bridge, outer, inner = _recorded(conf, args, args.prev)
    master = rtnetlink.require_link(context.links, bridge.name)
    port = rtnetlink.require_link(context.links, outer.name)
    same = master.kind == "bridge" and bridge.mac in ("", master.mac)
    require(same, f"{bridge.name} was replaced")
    require(port.master == master.index, f"{outer.name} is no port of {bridge.name}")
    if conf.promiscuous:
        promiscuous = bridging.is_promiscuous(context.links, master.index)
        require(promiscuous, f"{bridge.name} is not promiscuous")
    index = args.prev.interfaces.index(inner)
    ips = tuple(ip for ip in args.prev.ips if ip.interface in (None, index))
    if conf.is_gateway:
        gateway.require_gateway(master, ips, context.links)
    lease = Result(ips=ips, routes=args.prev.routes)
    inside.check(
        _setup(conf, args, lease), inner.mac, netns.required(args.netns), context.namespaces
    )


@reported("cannot remove orphans")
def gc(conf: BridgeConfig, valid: Collection[Attachment], context: Context) -> None:
    """Remove this network's veth pairs and addresses that belong to no valid attachment."""
    alive = {host_ifname(conf.veth_prefix, each) for each in valid}
    try:
        bridge = rtnetlink.get_link(context.links, conf.bridge)
        for port in bridging.get_ports(context.links, bridge.index) if bridge else ():
            if _is_ours(conf, port) and port.name not in alive:
                rtnetlink.delete_link(context.links, port.name)
    finally:
        if conf.addressing:
            conf.addressing.gc(valid, context)


@reported("cannot look at the bridge")
def status(conf: BridgeConfig, context: Context) -> None:
    """Raise number 50 when the bridge's name is taken by something else, or no address is left."""
    link = rtnetlink.get_link(context.links, conf.bridge)
    if link is not None and link.kind != "bridge":
        raise CNIError(Code.PLUGIN_NOT_AVAILABLE, f"{conf.bridge} is not a bridge")
    if conf.addressing:
        conf.addressing.status(context)


def _lease(conf: BridgeConfig, args: Args, context: Context) -> Result:
    if conf.addressing is None:
        return Result()
    lease = conf.addressing.add(args, context)
    if not lease.ips:
        raise CNIError(Code.INVALID_CONFIG, f"{conf.addressing.type} gave no address")
    return lease


def _default_mac(args: Args, ips: Collection[IP]) -> str:
    """From the address: a neighbour that remembers a former owner of it is still right."""
    for ip in ips:
        if ip.address.version == 4:
            return gateway.local_mac(b"\x68" + ip.address.packed)
    return gateway.derived_mac("/".join(args.attachment))


def _make_pair(
    conf: BridgeConfig, args: Args, path: Path, bridge: Link, mac: str, context: Context
) -> None:
    name = host_ifname(conf.veth_prefix, args.attachment)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        peer = Peer(descriptor, args.ifname, mac)
        note = _note(conf, args.attachment)
        requests = [
            rtnetlink.new_veth(name, bridge.index, conf.mtu, peer),
            bridging.set_port(name, hairpin=conf.hairpin, isolated=conf.isolated, note=note),
        ]
        try:
            context.links.execute(requests)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            # Left by an interrupted attempt, or not yet reaped after the last removal.
            detach(conf, args, context)
            context.links.execute(requests)
    finally:
        os.close(descriptor)
    sysctl.ensure_ipv6(f"conf/{name}/accept_ra", "0")


def _setup(conf: BridgeConfig, args: Args, lease: Result, *, announce: bool = False) -> Setup:
    return Setup(
        ifname=args.ifname,
        ips=lease.ips,
        routes=lease.routes,
        up=not conf.stays_down,
        dad=conf.dad,
        announce=announce,
        block_metadata=conf.block_metadata,
    )


def _recorded(
    conf: BridgeConfig, args: Args, prev: Result
) -> tuple[Interface, Interface, Interface]:
    """Bridge, host end and container end as ADD made them, among what later plugins added."""
    outside = [each for each in prev.interfaces if not each.sandbox]
    inside_ = [each for each in prev.interfaces if each.sandbox and each.name == args.ifname]
    bridge = [each for each in outside if each.name == conf.bridge]
    name = host_ifname(conf.veth_prefix, args.attachment)
    # The reference plugin, whose attachments ours may find, gives the host end a random name.
    outer = [each for each in outside if each.name == name] or [
        each for each in outside if each.name != conf.bridge
    ]
    if not (bridge and outer and inside_):
        msg = "the result of ADD lacks an interface"
        raise CNIError(Code.INVALID_CONFIG, msg, f"one of {conf.bridge}, {name}, {args.ifname}")
    return bridge[0], outer[0], inside_[0]


def _detach_recorded(conf: BridgeConfig, args: Args, context: Context) -> None:
    """Delete the pair that the reference plugin made: its host end has another name than ours."""
    if args.prev is None:
        return
    bridge = rtnetlink.get_link(context.links, conf.bridge)
    for each in args.prev.interfaces:
        link = None if each.sandbox else rtnetlink.get_link(context.links, each.name)
        if bridge and link and link.kind == "veth" and link.master == bridge.index:
            rtnetlink.delete_link(context.links, link.name)


def _note(conf: BridgeConfig, attachment: Attachment) -> str:
    """Tells whose a port is: a bridge may have several networks', and other people's, ports."""
    return f"{conf.network} {attachment.container_id} {attachment.ifname}"


def _is_ours(conf: BridgeConfig, port: bridging.Port) -> bool:
    return port.name.startswith(conf.veth_prefix) and port.note.startswith(f"{conf.network} ")
