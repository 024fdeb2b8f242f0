"""Publishes ports of a container on the host: a chained CNI plugin.

A published port is an element of an nftables map (`ports`): the kernel refuses a second one with
the same protocol, port and host address, so two containers never get the same, whoever adds at the
same time. Nothing listens on a published port; a local program that does is looked for when the
port is published, and would lose its traffic if it began later.

What to publish is the capability `portMappings`. The keys are those of the reference plugin, where
they only choose its means or are at their default; what would have another effect is refused. Ours:
`table`, the nftables table.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code, PortTaken, reported
from cni.firewall import networks, ruleset
from cni.kernel import sysctl
from cni.portmap import conntrack, hostports, mappings, ports
from cni.portmap.mappings import PortMapping
from cni.portmap.ports import PublishedPort
from cni.spec import Args, Attachment, Result, require_identifier

_BACKENDS: Final = ("", "iptables", "nftables")
_HIGHEST_MARK_BIT: Final = 31


@dataclass(frozen=True, slots=True)
class PortmapConfig:
    """The network, whose name stands in the elements, and the nftables table."""

    network: str
    table: str = ruleset.DEFAULT_TABLE


def parse(fields: Fields) -> PortmapConfig:
    """The configuration; raises number 2 for a wish that can't be met, number 7 for a wrong key.

    Where the traffic is masked, it needs no mark: `markMasqBit` and `externalSetMarkChain` are
    means that aren't used here, as is the `backend`.
    """
    _refuse(fields, "snat", refused=not fields.flag("snat", default=True))
    _refuse(fields, "masqAll", refused=fields.flag("masqAll"))
    for key in ("conditionsV4", "conditionsV6"):
        _refuse(fields, key, refused=bool(fields.texts(key)))
    fields.number("markMasqBit", high=_HIGHEST_MARK_BIT)
    fields.text("externalSetMarkChain")
    if fields.text("backend") not in _BACKENDS:
        raise fields.wrong("backend", "must be iptables or nftables")
    name = require_identifier(fields.text("name"), "network name", Code.INVALID_CONFIG)
    return PortmapConfig(name, ruleset.require_table(fields.text("table", ruleset.DEFAULT_TABLE)))


@reported("cannot publish ports")
def add(conf: PortmapConfig, args: Args, context: Context) -> Result:
    """Publish all mappings or none, and give the previous result on.

    Raises PortTaken for a port in use, by another container or by a local program.
    """
    result = _previous(args)
    wanted = mappings.parse(args.runtime)
    if not wanted:
        return result
    found = tuple(_elements(wanted, conf, args, result))
    _refuse_used(wanted, found)
    ruleset.ensure_table(conf.table, context.firewall)
    _open_paths(conf, result, args, context)
    ports.publish(context.firewall, conf.table, found)
    conntrack.forget_strays(context.firewall, found)
    return result


@reported("cannot publish ports")
def restore(conf: PortmapConfig, args: Args, context: Context) -> None:
    """Publish what is not published any more."""
    ruleset.ensure_table(conf.table, context.firewall)
    wanted = _elements(mappings.parse(args.runtime), conf, args, _previous(args))
    lost = [each for each in wanted if not ports.is_published(context.firewall, conf.table, each)]
    if lost:
        ports.publish(context.firewall, conf.table, lost)


@reported("cannot withdraw ports")
def delete(conf: PortmapConfig, args: Args, context: Context) -> None:
    """Withdraw all ports of the attachment, which the maps themselves name; none is fine."""
    owner = ports.owner_name(conf.network, args.attachment)
    ports.withdraw(context.firewall, conf.table, owner)


@reported("cannot look up ports")
def check(conf: PortmapConfig, args: Args, context: Context) -> None:
    """Raise number 101 unless each mapping still leads to the container."""
    wanted = mappings.parse(args.runtime)
    for port in _elements(wanted, conf, args, _previous(args)):
        if not ports.is_published(context.firewall, conf.table, port):
            name = f"{port.host_port}/{port.protocol.value}"
            msg = f"host port {name} does not lead to container {args.container_id}"
            raise CNIError(Code.CHECK_FAILED, msg)


@reported("cannot withdraw ports")
def gc(conf: PortmapConfig, valid: Collection[Attachment], context: Context) -> None:
    """Withdraw the ports of this network's attachments that are not valid."""
    keep = {ports.owner_name(conf.network, attachment) for attachment in valid}
    mark = ports.network_mark(conf.network)
    owners = {port.owner for port in ports.published(context.firewall, conf.table)}
    for owner in owners - keep:
        if owner.startswith(mark):
            ports.withdraw(context.firewall, conf.table, owner)


def status(conf: PortmapConfig, context: Context) -> None:
    """Raise number 50 unless the table is there or could be made."""
    try:
        if not ruleset.is_current(conf.table, context.firewall):
            ruleset.try_table(conf.table)
    except (CNIError, OSError) as error:
        msg = f"nftables table {conf.table} cannot be made"
        raise CNIError(Code.PLUGIN_NOT_AVAILABLE, msg, str(error)) from error


def _refuse(fields: Fields, key: str, *, refused: bool) -> None:
    if refused:
        msg = f"{key} {fields.values[key]!r} is not supported"
        raise CNIError(Code.UNSUPPORTED_FIELD, msg, "leave the key out")


def _previous(args: Args) -> Result:
    if args.prev is None:
        raise CNIError(Code.INVALID_CONFIG, "must be called as chained plugin")
    return args.prev


def _elements(
    wanted: Collection[PortMapping], conf: PortmapConfig, args: Args, result: Result
) -> Iterator[PublishedPort]:
    owner = ports.owner_name(conf.network, args.attachment)
    addresses = [interface.ip for interface in _addresses(result, args.ifname)]
    for mapping in wanted:
        for address in addresses:
            if mapping.host_ip is not None and mapping.host_ip.version != address.version:
                continue
            at = (
                None
                if mapping.host_ip is None or mapping.host_ip.is_unspecified
                else mapping.host_ip
            )
            for host_port, port in mapping.pairs():
                yield PublishedPort(mapping.protocol, host_port, address, port, owner, at)


def _addresses(result: Result, ifname: str) -> Iterator[IPv4Interface | IPv6Interface]:
    """The first address of each IP version that is on the container's interface, or may be."""
    seen: set[int] = set()
    for ip in result.ips:
        if ip.interface is not None and ip.interface < len(result.interfaces):
            interface = result.interfaces[ip.interface]
            if interface.name != ifname or not interface.sandbox:
                continue
        if ip.address.version not in seen:
            seen.add(ip.address.version)
            yield ip.address


def _refuse_used(wanted: Collection[PortMapping], found: Collection[PublishedPort]) -> None:
    """Raise PortTaken when a local program uses one of the ports, at the addresses concerned."""
    versions = {port.address.version for port in found}
    for mapping in wanted:
        host_ip: IPv4Address | IPv6Address | None = mapping.host_ip
        if host_ip is None and len(versions) == 1:
            host_ip = hostports.ANY[next(iter(versions))]
        if host_ip is not None and host_ip.version not in versions:
            continue
        for port in mapping.host_ports:
            if not hostports.is_free(mapping.protocol, port, host_ip):
                raise PortTaken(mapping.protocol.value, port, "a program on the host")


def _open_paths(conf: PortmapConfig, result: Result, args: Args, context: Context) -> None:
    """What hostler-bridge has done already, for networks of other plugins.

    So a published port is reached from 127.0.0.1 and from its own network.
    """
    for address in _addresses(result, args.ifname):
        if address.network.num_addresses > 1:
            networks.cover(context.firewall, conf.table, address.network, conf.network)
    for interface in result.interfaces:
        if not interface.sandbox:
            with suppress(FileNotFoundError):  # made in another namespace than ours
                sysctl.ensure(f"ipv4/conf/{interface.name}/route_localnet", "1")
                return
