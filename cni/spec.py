"""What the plugins are given and give back: CNI 1.1 arguments and results as frozen values.

The JSON forms and the older result versions are not here.
"""

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path

from cni.errors import CNIError, Code

_IDENTIFIER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")


def require_identifier(text: str, what: str) -> str:
    """Return `text` when it may name a container or a network (CNI: `CNI_CONTAINERID`)."""
    if not _IDENTIFIER.fullmatch(text):
        raise CNIError(Code.INVALID_ENVIRONMENT, f"{what} {text!r} is not a CNI identifier")
    return text


def require_interface(text: str) -> str:
    """Return `text` when the kernel takes it as an interface name (dev_valid_name)."""
    if text in (".", "..") or not _INTERFACE.fullmatch(text):
        raise CNIError(Code.INVALID_ENVIRONMENT, f"{text!r} is not an interface name")
    return text


@dataclass(frozen=True, slots=True)
class Args:
    """One attachment: which container, which namespace, under which interface names.

    `netns` is None, or no longer there, when only traces of the container are to be removed.
    `host_ifname` is derived by the caller from the container, so that the host end can be found
    again without any record.
    """

    container_id: str
    netns: Path | None
    host_ifname: str
    ifname: str = "eth0"

    def __post_init__(self) -> None:
        require_identifier(self.container_id, "container id")
        require_interface(self.host_ifname)
        require_interface(self.ifname)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that was made; `sandbox` is the namespace path of those inside."""

    name: str
    mac: str
    mtu: int
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class IP:
    """An address; `interface` is an index into `Result.interfaces`."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None
    interface: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route; without `gw` the gateway of an address of the same family is meant."""

    dst: IPv4Network | IPv6Network
    gw: IPv4Address | IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class DNS:
    """Resolver settings, as in resolv.conf(5)."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What an ADD has made (CNI 1.1, section "Success")."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IP, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = DNS()
