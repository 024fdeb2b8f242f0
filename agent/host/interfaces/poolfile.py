"""The file that ``HOSTLER_ENIS`` names: the interfaces that this host may give to tasks, as JSON.

``{"interfaces": [{"type": "nic", "mac": "0a:1b:…", "addresses": ["10.0.1.7/24"], "gateways": […],
"dns": {"servers": […], "search": […]}, "hostname": "…", "subnet": "subnet-a", "mtu": 9001}]}``

A ``nic`` is found by ``mac`` or ``name``; a ``vlan`` has a ``trunk`` (name or MAC) and a number
``vlan``; a ``macvlan`` has a ``parent``. What can be derived may be left out: the id, the MAC of a
child, and the subnet, which is then the network of the first address. Without addresses the
network's IPAM gives one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.config import ConfigError, values
from agent.config.network import INTERFACE
from agent.host.interfaces.macvlan import local_mac
from agent.task.definition.problems import json_path
from agent.task.network import NetworkInterface

_MAC = re.compile("([0-9a-f]{2}:){5}[0-9a-f]{2}")
_ID = values.matching(r"[A-Za-z0-9_-]{1,64}", "letters, digits, - and _")
_DOMAIN = values.matching(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?",
    "a name of DNS",
)


def _mac(text: str) -> str:
    mac = text.lower().replace("-", ":")
    if _MAC.fullmatch(mac) is None or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise ValueError("must be the MAC of an interface such as 0a:1b:2c:3d:4e:5f")
    return mac


def _device(text: str) -> str:
    return _mac(text) if ":" in text else INTERFACE(text)


def _with_prefix(text: str) -> str:
    found = ipaddress.ip_interface(text)
    if "/" not in text or found.network.prefixlen == 0:
        raise ValueError("must be an address with its prefix length such as 10.0.1.7/24")
    return str(found)


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _text(parse: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(parse)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Dns(_Strict):
    servers: tuple[Annotated[str, _text(_address)], ...] = ()
    search: tuple[Annotated[str, _text(_DOMAIN)], ...] = ()


class _Entry(_Strict):
    type: Literal["nic", "vlan", "macvlan"] = "nic"
    id: Annotated[str, _text(_ID)] | None = None
    mac: Annotated[str, _text(_mac)] = ""
    name: Annotated[str, _text(INTERFACE)] = ""
    trunk: Annotated[str, _text(_device)] = ""
    parent: Annotated[str, _text(INTERFACE)] = ""
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    addresses: tuple[Annotated[str, _text(_with_prefix)], ...] = ()
    gateways: tuple[Annotated[str, _text(_address)], ...] = ()
    dns: _Dns = _Dns()
    hostname: Annotated[str, _text(_DOMAIN)] = ""
    subnet: Annotated[str, Field(min_length=1)] | None = None
    mtu: Annotated[int, Field(ge=576, le=65535)] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed, foreign = {
            "nic": ("mac or a name", ("trunk", "parent", "vlan")),
            "vlan": ("trunk and a vlan", ("name", "parent")),
            "macvlan": ("parent, and a mac or addresses", ("name", "trunk", "vlan")),
        }[self.type]
        complete = {
            "nic": self.mac or self.name,
            "vlan": self.trunk and self.vlan,
            "macvlan": self.parent and (self.mac or self.addresses),
        }[self.type]
        if not complete:
            raise ValueError(f"an interface of type {self.type} needs a {needed}")
        if unfit := [each for each in foreign if getattr(self, each)]:
            raise ValueError(f"an interface of type {self.type} has no {unfit[0]}")
        return self

    @model_validator(mode="after")
    def _has_ways_out(self) -> Self:
        if len({ipaddress.ip_address(each).version for each in self.gateways}) < len(self.gateways):
            raise ValueError("gateways: there is one for IPv4 and one for IPv6 at most")
        interfaces = [ipaddress.ip_interface(each) for each in self.addresses]
        for gateway in map(ipaddress.ip_address, self.gateways):
            if gateway.is_link_local and any(each.version == 6 for each in interfaces):
                continue
            if not any(gateway in each.network for each in interfaces):
                raise ValueError(f"gateways: {gateway} is in the network of none of the addresses")
            if any(gateway == each.ip for each in interfaces):
                raise ValueError(f"gateways: {gateway} is the interface's own address")
        return self

    def interface(self) -> NetworkInterface:
        """The entry with what was left out."""
        digest = sha256(f"{self.type}/{self._place()}".encode()).hexdigest()
        network = str(ipaddress.ip_interface(self.addresses[0]).network) if self.addresses else ""
        return NetworkInterface(
            id=self.id or f"eni-{digest[:17]}",
            kind=self.type,
            mac=self.mac or ("" if self.type == "nic" else local_mac(digest)),
            name=self.name,
            parent=self.trunk or self.parent,
            vlan=self.vlan or 0,
            mtu=self.mtu or 0,
            addresses=self.addresses,
            gateways=self.gateways,
            dns_servers=self.dns.servers,
            dns_search=self.dns.search,
            hostname=self.hostname,
            subnet=self.subnet or network,
        )

    def _place(self) -> str:
        """What no two interfaces of a type have in common, and no edit of the rest changes."""
        match self.type:
            case "nic":
                return self.mac or self.name
            case "vlan":
                return f"{self.trunk}/{self.vlan}"
            case "macvlan":
                return f"{self.parent}/{self.mac or self.addresses[0]}"


class _File(_Strict):
    interfaces: tuple[_Entry, ...]


def read(path: Path) -> tuple[NetworkInterface, ...]:
    """The interfaces that the file lists. Raises ConfigError, which names every fault's place."""
    try:
        listed = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"HOSTLER_ENIS: can't read {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = "; ".join(_faults(error))
        raise ConfigError(f"HOSTLER_ENIS: {path}: {faults}") from error
    interfaces = tuple(each.interface() for each in listed.interfaces)
    if clashes := "; ".join(_clashes(interfaces)):
        raise ConfigError(f"HOSTLER_ENIS: {path}: {clashes}")
    return interfaces


def _faults(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "there is no such field: remove it or correct its name"
        place = json_path(each["loc"])
        yield f"{place}: {message}" if place else message


def _clashes(interfaces: tuple[NetworkInterface, ...]) -> Iterator[str]:
    """What two entries can't both have."""
    for (first, one), (second, other) in combinations(enumerate(interfaces), 2):
        for what in _shared(one, other):
            yield f"interfaces[{second}]: {what} is also in interfaces[{first}]"


def _shared(one: NetworkInterface, other: NetworkInterface) -> Iterator[str]:
    if one.kind == other.kind and one.parent == other.parent and one.vlan == other.vlan:
        if one.vlan:
            yield f"VLAN {one.vlan} on trunk {one.parent}"
        if not one.vlan and one.mac and one.mac == other.mac:
            yield f"MAC {one.mac}"
        if one.name and one.name == other.name:
            yield f"name {one.name}"
    elif one.id == other.id:
        yield f"id {one.id}"
    for nic, child in ((one, other), (other, one)):
        if nic.kind == "nic" and child.parent and child.parent in (nic.mac, nic.name):
            yield f"NIC {child.parent}, to be given away or to make children on,"
    if one.subnet == other.subnet:
        common = {_ip(each) for each in one.addresses} & {_ip(each) for each in other.addresses}
        for address in sorted(common):
            yield f"address {address} in subnet {one.subnet}"


def _ip(address: str) -> str:
    return address.partition("/")[0]
