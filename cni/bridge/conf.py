"""The configuration of `bridge`: the reference plugin's keys, and ours. Pure.

Ours are `table` (the nftables table), `vethPrefix` (what the host ends' names begin with) and
`blockInstanceMetadata` (nothing is sent to the instance metadata service of EC2).
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.firewall.ruleset import DEFAULT_TABLE, require_table
from cni.ipam import addressing
from cni.ipam.addressing import Addressing
from cni.spec import DNS, Args, Result, Route, require_identifier, require_interface

_MAC: Final = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")  # a station's, not a group's
_MTU_LIMIT: Final = 65535
_PREFIX_LIMIT: Final = 7
"""Eight digits of the fifteen characters are left to tell attachments apart."""

ANYWHERE: Final = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """One network on a bridge. 0 is no MTU, no `addressing` an attachment without addresses.

    `wanted_mac` is what the configuration's `args` ask for, `mac` what it says itself.
    """

    network: str
    bridge: str = "cni0"
    addressing: Addressing | None = None
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    masquerade: bool = False
    mtu: int = 0
    hairpin: bool = False
    promiscuous: bool = False
    isolated: bool = False
    dad: bool = False
    stays_down: bool = False
    mac: str = ""
    wanted_mac: str = ""
    dns: DNS = field(default_factory=DNS)
    table: str = DEFAULT_TABLE
    veth_prefix: str = "veth"
    block_metadata: bool = False


def parse(fields: Fields) -> BridgeConfig:
    """The configuration; raises number 2 for a wish that can't be met, number 7 for a wrong key."""
    _refuse(fields)
    is_default_gateway = fields.flag("isDefaultGateway")
    conf = BridgeConfig(
        network=require_identifier(fields.text("name"), "network name", Code.INVALID_CONFIG),
        bridge=require_interface(fields.text("bridge") or "cni0", Code.INVALID_CONFIG),
        addressing=addressing.parse(fields),
        is_gateway=fields.flag("isGateway") or is_default_gateway,
        is_default_gateway=is_default_gateway,
        force_address=fields.flag("forceAddress"),
        masquerade=fields.flag("ipMasq"),
        mtu=fields.number("mtu", high=_MTU_LIMIT),
        hairpin=fields.flag("hairpinMode"),
        promiscuous=fields.flag("promiscMode"),
        isolated=fields.flag("portIsolation"),
        dad=fields.flag("enabledad"),
        stays_down=fields.flag("disableContainerInterface"),
        mac=_mac(fields),
        wanted_mac=_mac(fields.object("args").object("cni")),
        dns=fields.dns("dns"),
        table=require_table(fields.text("table") or DEFAULT_TABLE),
        veth_prefix=_prefix(fields),
        block_metadata=fields.flag("blockInstanceMetadata"),
    )
    if conf.hairpin and conf.promiscuous:
        raise fields.wrong("promiscMode", "must not come together with hairpinMode")
    if conf.stays_down and conf.addressing:
        raise fields.wrong("disableContainerInterface", "must not come together with ipam")
    return conf


def mac_of(conf: BridgeConfig, args: Args) -> str:
    """The MAC that is asked for, by whoever has the last word; empty when nobody asks."""
    asked = _mac(Fields(args.runtime, "runtimeConfig"))
    try:
        environment = _mac(Fields({"mac": args.cni_args.get("MAC")}))
    except CNIError as error:
        msg = f"MAC={args.cni_args['MAC']} in CNI_ARGS is no MAC address"
        raise CNIError(Code.INVALID_ENVIRONMENT, msg) from error
    return asked or conf.wanted_mac or environment or conf.mac


def completed(conf: BridgeConfig, lease: Result) -> Result:
    """A lease with what the bridge adds to it: gateways, default routes, resolver settings."""
    ips = lease.ips
    if conf.is_gateway:
        ips = tuple(replace(ip, gateway=ip.gateway or ip.address.network[1]) for ip in ips)
    routes = list(lease.routes)
    if conf.is_default_gateway:
        for ip in ips:
            dst = ANYWHERE[ip.address.version == 6]
            if all(route.dst != dst for route in routes):
                routes.append(Route(dst, ip.gateway))
    return Result(ips=ips, routes=tuple(routes), dns=lease.dns if conf.dns == DNS() else conf.dns)


def _refuse(fields: Fields) -> None:
    asked = {
        "vlan": fields.number("vlan", high=4094),
        "vlanTrunk": fields.list("vlanTrunk"),
        "macspoofchk": fields.flag("macspoofchk"),
        "preserveDefaultVlan": fields.flag("preserveDefaultVlan"),
    }
    for key, value in asked.items():
        if value:
            msg = f"{fields.path(key)} is not supported"
            raise CNIError(Code.UNSUPPORTED_FIELD, msg, f"it is {fields.values[key]!r}")


def _prefix(fields: Fields) -> str:
    prefix = fields.text("vethPrefix") or "veth"
    if len(prefix) > _PREFIX_LIMIT:
        raise fields.wrong("vethPrefix", f"must have at most {_PREFIX_LIMIT} characters")
    return require_interface(prefix, Code.INVALID_CONFIG)


def _mac(fields: Fields) -> str:
    def parse_mac(text: str) -> str:
        if not _MAC.fullmatch(text.lower()):
            raise ValueError(text)
        return text.lower()

    return fields.parsed("mac", parse_mac, "must be a MAC such as 02:00:5e:10:00:01") or ""
