"""The plugin `hostler-awsvpc`: a network interface of the task's own, as in ECS's mode `awsvpc`.

What the host has serves as ENI: a NIC that is moved in and given back (`nics`), a VLAN on a trunk,
or a macvlan child. The keys are those of AWS's plugins (`eni`). A child is known by its index,
which follows from the attachment, and dies with its namespace; so nothing is written down for it.

In the namespace instance metadata is blocked unless `blockInstanceMetadata` is false, and stays so
after DEL: it is a matter of the namespace, that other interfaces of it count on.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EOPNOTSUPP
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from cni import inside
from cni.awsvpc import eni, nics, uplinks
from cni.awsvpc.eni import ENI, Kind
from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.inside import Setup
from cni.ipam import addressing
from cni.ipam.addressing import Addressing
from cni.kernel import netns, routes, rtnetlink
from cni.kernel.rtnetlink import Child, Link
from cni.spec import DNS, IP, Args, Attachment, Interface, Result, Route

_ANYWHERE: Final[dict[int, IPv4Network | IPv6Network]] = {
    4: IPv4Network("0.0.0.0/0"),
    6: IPv6Network("::/0"),
}
_MODULES: Final = {Kind.VLAN: "8021q", Kind.MACVLAN: "macvlan"}
# Out of reach of the indexes that a kernel counts up to, see `Child`.
_FIRST_INDEX: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class AwsvpcConf:
    """A network; `fields` is what its interfaces have in common."""

    network: str
    fields: Fields
    addressing: Addressing | None


def parse(fields: Fields) -> AwsvpcConf:
    """The plugin's configuration; which interface is meant may come with each attachment."""
    eni.parse(fields)
    return AwsvpcConf(fields.text("name"), fields, addressing.parse(fields))


@reported("cannot attach the network interface")
def add(conf: AwsvpcConf, args: Args, context: Context) -> Result:
    """Put the interface into the namespace and say what it is.

    What an earlier, interrupted attempt left is undone first. A failure leaves nothing behind.
    Raises number 11 while the NIC is not there.
    """
    path = netns.required(args.netns)
    wanted = _eni(conf, args)
    _detach(args, context)
    try:
        leased = Result()
        if conf.addressing is not None and not wanted.addresses:
            leased = conf.addressing.add(args, context)
        setup = _setup(wanted, leased, args)
        _place(conf, wanted, setup, path, args, context)
        link = inside.configure(setup, path, context.namespaces)
    except (CNIError, OSError):
        with suppress(CNIError, OSError):
            delete(conf, args, context)
        raise
    made = Interface(link.name, link.mac, link.mtu, sandbox=str(path))
    dns = wanted.dns if wanted.dns != DNS() else leased.dns
    return Result((made,), setup.ips, setup.routes, dns)


@reported("cannot detach the network interface")
def delete(conf: AwsvpcConf, args: Args, context: Context) -> None:
    """Give the NIC back or delete the child, release leased addresses; may be repeated."""
    try:
        _detach(args, context)
    finally:
        if conf.addressing is not None:
            conf.addressing.delete(args, context)


@reported("cannot check the network interface")
def check(conf: AwsvpcConf, args: Args, context: Context) -> None:
    """Raise number 101 unless the interface is as it was made."""
    path = netns.required(args.netns)
    if args.prev is None:
        raise CNIError(Code.INVALID_CONFIG, "CHECK needs the result of ADD")
    wanted = _eni(conf, args)
    if conf.addressing is not None and not wanted.addresses:
        conf.addressing.check(args, context)
    for at, made in enumerate(args.prev.interfaces):
        if made.sandbox and made.name == args.ifname:
            ips = tuple(ip for ip in args.prev.ips if ip.interface in (None, at))
            setup = _configured(args, ips, (), wanted)
            inside.check(setup, made.mac, path, context.namespaces)
            return
    raise CNIError(Code.INVALID_CONFIG, f"the result of ADD has no interface {args.ifname}")


@reported("cannot clean up network interfaces")
def gc(conf: AwsvpcConf, valid: Collection[Attachment], context: Context) -> None:
    """Give back NICs and release addresses that are of none of the valid attachments.

    Children are with their namespaces, out of reach of GC: they die with those.
    """
    try:
        nics.restore_all(context, valid, conf.network)
    finally:
        if conf.addressing is not None:
            conf.addressing.gc(valid, context)


@reported("cannot look for the network interface")
def status(conf: AwsvpcConf, context: Context) -> None:
    """Raise number 50 when there is no trunk or master, or no address to be had."""
    common = eni.parse(conf.fields)
    if common.kind is not Kind.NIC and (common.parent or common.parent_mac):
        try:
            _parent(common, context)
        except CNIError as error:
            raise CNIError(Code.PLUGIN_NOT_AVAILABLE, error.msg, error.details) from error
    if conf.addressing is not None:
        conf.addressing.status(context)


def _eni(conf: AwsvpcConf, args: Args) -> ENI:
    """The common configuration, with what is said of this one attachment before it."""
    own = Fields(args.runtime, "runtimeConfig").object("eni")
    wanted = eni.parse(replace(conf.fields, values={**conf.fields.values, **own.values}))
    wanted.require_complete()
    if not wanted.addresses and conf.addressing is None:
        msg = "eniIPAddresses is missing"
        raise CNIError(Code.INVALID_CONFIG, msg, "and there is no ipam to take an address from")
    return wanted


def _setup(wanted: ENI, leased: Result, args: Args) -> Setup:
    gateways = {ip.gateway.version: ip.gateway for ip in leased.ips if ip.gateway is not None}
    gateways |= {gateway.version: gateway for gateway in wanted.gateways}
    addresses = wanted.addresses or tuple(ip.address for ip in leased.ips)
    ips = tuple(IP(one, gateways.get(one.version), interface=0) for one in addresses)
    return _configured(args, ips, leased.routes, wanted)


def _configured(
    args: Args, ips: tuple[IP, ...], more_routes: tuple[Route, ...], wanted: ENI
) -> Setup:
    """The interface with these addresses, and a default route through each gateway."""
    gateways = {ip.gateway.version: ip.gateway for ip in ips if ip.gateway is not None}
    defaults = tuple(Route(_ANYWHERE[version], one) for version, one in gateways.items())
    others = tuple(route for route in more_routes if route.dst.prefixlen)
    return Setup(
        ifname=args.ifname,
        ips=ips,
        routes=defaults + others,
        announce=True,
        block_metadata=wanted.block_metadata,
    )


def _place(
    conf: AwsvpcConf, wanted: ENI, setup: Setup, path: Path, args: Args, context: Context
) -> None:
    """Bring the interface into the namespace, where it is named, but down and bare."""
    _require_unused(wanted, setup, context)
    with context.namespaces.call(path, rtnetlink.open_socket) as there:
        if rtnetlink.get_link(there, args.ifname) is not None:
            msg = f"the namespace has an interface {args.ifname} already"
            raise CNIError(Code.INVALID_ENVIRONMENT, msg, str(path))
        if wanted.kind is not Kind.NIC:
            _make_child(wanted, path, args, context)
            return
        nics.lend(wanted.name, wanted.mac, conf.network, args, context)
        if wanted.mtu:
            nic = rtnetlink.require_link(there, args.ifname)
            there.execute([rtnetlink.set_mtu(nic.index, wanted.mtu)])


def _make_child(wanted: ENI, path: Path, args: Args, context: Context) -> None:
    parent = _parent(wanted, context)
    if wanted.mtu > parent.mtu:
        msg = f"MTU {wanted.mtu} is larger than that of {parent.name}, {parent.mtu}"
        raise CNIError(Code.INVALID_CONFIG, msg)
    with netns.descriptor(path) as descriptor:
        index = _index(args.attachment)
        mac = wanted.child_mac
        child = Child(descriptor, index, args.ifname, parent.index, mac, wanted.mtu)
        if wanted.kind is Kind.VLAN:
            request = rtnetlink.new_vlan(child, wanted.vlan)
        else:
            child = replace(child, mac=mac or _mac(args.attachment))
            request = rtnetlink.new_macvlan(child, wanted.mode)
        try:
            context.links.execute([rtnetlink.set_up(parent.index, up=True), request])
        except OSError as error:
            if error.errno != EOPNOTSUPP:
                raise
            msg = f"{wanted.kind} interfaces are not supported by this kernel"
            raise CNIError(
                Code.IO_FAILURE, msg, f"load its module {_MODULES[wanted.kind]}"
            ) from error


def _parent(wanted: ENI, context: Context) -> Link:
    links = rtnetlink.list_links(context.links)
    return uplinks.find_parent(links, wanted.parent, wanted.parent_mac)


def _require_unused(wanted: ENI, setup: Setup, context: Context) -> None:
    """Raise number 7 when the host has one of the addresses, not counting the NIC's own."""
    owners = routes.get_owners(context.links)
    for address in (ip.address for ip in setup.ips):
        if address.ip not in owners:
            continue
        owner = rtnetlink.link_at(context.links, owners[address.ip])
        if owner is None:  # gone meanwhile
            continue
        named = wanted.name in ("", owner.name)
        meant = named and (not wanted.mac or uplinks.has_mac(owner, wanted.mac))
        if wanted.kind is not Kind.NIC or not meant:
            msg = f"address {address.ip} is in use on the host"
            raise CNIError(Code.INVALID_CONFIG, msg, f"{owner.name} has it")


def _detach(args: Args, context: Context) -> None:
    nics.give_back(args.attachment, context)
    path = args.netns
    if path is not None and netns.exists(path) and not netns.is_own(path):
        with context.namespaces.call(path, rtnetlink.open_socket) as there:
            rtnetlink.delete_link_at(there, _index(args.attachment))


def _digest(attachment: Attachment) -> bytes:
    return sha256(f"{attachment.container_id}/{attachment.ifname}".encode()).digest()


def _index(attachment: Attachment) -> int:
    """The index of a child: the same each time it is asked, and nobody else's."""
    return _FIRST_INDEX + int.from_bytes(_digest(attachment)[:4], "big") % _FIRST_INDEX


def _mac(attachment: Attachment) -> str:
    """A locally administered unicast address: the same each time it is asked."""
    return (b"\x02" + _digest(attachment)[:5]).hex(":")
