"""What one task's network interface is to be: the keys of AWS's own plugins, read and checked.

They come with the network's configuration and, each beating it, per attachment as the capability
argument `eni`. Pure. Used by `awsvpc`.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_interface,
)
from typing import Final

from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.kernel.rtnetlink import MACVLAN_MODES
from cni.spec import DNS, require_interface

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_TAGS: Final = range(1, 4095)
_LARGEST_MTU: Final = 65535


class Kind(StrEnum):
    """Where the interface comes from: a NIC of the host, or a child of one."""

    NIC = "nic"
    VLAN = "vlan"
    MACVLAN = "macvlan"


@dataclass(frozen=True, slots=True)
class ENI:
    """One interface. Names and MACs are empty when not said, 0 is no MTU and no VLAN.

    `name` and `mac` tell which NIC to move in; `parent` and `parent_mac` on top of which interface
    the child is made, with the MAC `child_mac`.
    """

    kind: Kind = Kind.NIC
    name: str = ""
    mac: str = ""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    gateways: tuple[IPv4Address | IPv6Address, ...] = ()
    block_metadata: bool = True
    parent: str = ""
    parent_mac: str = ""
    vlan: int = 0
    child_mac: str = ""
    mode: str = "bridge"
    mtu: int = 0
    dns: DNS = field(default_factory=DNS)

    def require_complete(self) -> None:
        """Raise number 7 unless it is known which interface is meant."""
        match self.kind:
            case Kind.NIC if not (self.mac or self.name):
                raise _missing("eniMACAddress or eniName", "a NIC")
            case Kind.VLAN if not (self.parent_mac or self.parent):
                raise _missing("trunkMACAddress or trunkName", "a VLAN")
            case Kind.VLAN if not self.vlan:
                raise _missing("branchVlanID", "a VLAN")
            case Kind.MACVLAN if not self.parent:
                raise _missing("master", "a macvlan interface")


def parse(fields: Fields) -> ENI:
    """Read what is said of an interface; all of it may be missing. Raises number 7."""
    kind = _choice(fields, "interfaceType", Kind.NIC, tuple(Kind))
    vlan = kind == Kind.VLAN
    mac = _mac(fields, "eniMACAddress")
    return ENI(
        kind=Kind(kind),
        name=_interface(fields, "eniName"),
        mac=mac,
        addresses=_addresses(fields),
        gateways=_gateways(fields),
        block_metadata=fields.flag("blockInstanceMetadata", default=True),
        parent=_interface(fields, "trunkName" if vlan else "master"),
        parent_mac=_mac(fields, "trunkMACAddress") if vlan else "",
        vlan=_tag(fields),
        child_mac=_mac(fields, "branchMACAddress") or mac,
        mode=_choice(fields, "mode", "bridge", tuple(MACVLAN_MODES)),
        mtu=fields.number("mtu", high=_LARGEST_MTU),
        dns=fields.dns("dns"),
    )


def _missing(key: str, what: str) -> CNIError:
    return CNIError(Code.INVALID_CONFIG, f"{key} is missing", f"it says where {what} comes from")


def _choice(fields: Fields, key: str, default: str, allowed: tuple[str, ...]) -> str:
    value = fields.text(key) or default
    if value not in allowed:
        raise fields.wrong(key, f"must be one of {', '.join(allowed)}")
    return value


def _interface(fields: Fields, key: str) -> str:
    name = fields.text(key)
    return require_interface(name, Code.INVALID_CONFIG) if name else ""


def _mac(fields: Fields, key: str) -> str:
    mac = fields.text(key).lower().replace("-", ":")
    if mac and not _MAC.fullmatch(mac):
        raise fields.wrong(key, "must be a MAC such as 0a:1b:2c:3d:4e:5f")
    return mac


def _tag(fields: Fields) -> int:
    """A number, or one written as a string, as AWS's plugin has it; 0 when absent."""
    value = fields.values.get("branchVlanID")
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value not in _TAGS:
        raise fields.wrong("branchVlanID", f"must be from {_TAGS.start} to {_TAGS.stop - 1}")
    return value


def _addresses(fields: Fields) -> tuple[IPv4Interface | IPv6Interface, ...]:
    key = "eniIPAddresses"
    try:
        return tuple(ip_interface(text) for text in fields.texts(key))
    except ValueError as error:
        raise fields.wrong(key, "must be addresses such as 10.0.1.7/24") from error


def _gateways(fields: Fields) -> tuple[IPv4Address | IPv6Address, ...]:
    """At most one of each family; the control plane writes them with a prefix length."""
    key = "gatewayIPAddresses"
    try:
        found = tuple(ip_interface(text).ip for text in fields.texts(key))
    except ValueError as error:
        raise fields.wrong(key, "must be addresses such as 10.0.1.1") from error
    if len({gateway.version for gateway in found}) < len(found):
        raise fields.wrong(key, "must be at most one of IPv4 and one of IPv6")
    return found
