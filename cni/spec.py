"""What the plugins are given and give back: CNI 1.1 arguments and results as frozen values.

Their JSON forms in all versions are `formats`'; the keys of a plugin's configuration are read with
`conf.Fields` by the plugin itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Any, NamedTuple

from cni.errors import CNIError, Code

_IDENTIFIER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_INTERFACE = re.compile(r"[^\s/:]+")
_INTERFACE_LIMIT = 15


def require_identifier(text: str, what: str, code: Code = Code.INVALID_ENVIRONMENT) -> str:
    """Return `text` when it may name a container or a network (CNI: `CNI_CONTAINERID`)."""
    if not _IDENTIFIER.fullmatch(text):
        raise CNIError(code, f"invalid characters in {what}", text)
    return text


def require_interface(text: str, code: Code = Code.INVALID_ENVIRONMENT) -> str:
    """Return `text` when the kernel takes it as an interface name (dev_valid_name)."""
    if len(text.encode(errors="surrogateescape")) > _INTERFACE_LIMIT:
        most = f"{text!r} has more than {_INTERFACE_LIMIT} bytes"
        raise CNIError(code, "interface name is too long", most)
    if text in (".", "..") or not _INTERFACE.fullmatch(text):
        raise CNIError(code, "invalid interface name", text)
    return text


def search_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The directories of `CNI_PATH`."""
    return tuple(Path(each) for each in environ.get("CNI_PATH", "").split(":") if each)


class Attachment(NamedTuple):
    """What an attachment is known by within its network."""

    container_id: str
    ifname: str


def host_ifname(prefix: str, attachment: Attachment) -> str:
    """Return the name of the host end of a container's interface, the same each time it is asked.

    So it is found again without any record; `prefix` tells whose it is.
    """
    from hashlib import sha256  # takes long to import

    digest = sha256(f"{attachment.container_id}/{attachment.ifname}".encode()).hexdigest()
    return (prefix + digest)[:_INTERFACE_LIMIT]


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that was made; `sandbox` is the namespace path of those inside. 0 is no MTU.

    The last two are other vendors' plugins', and only passed on.
    """

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True, slots=True)
class IP:
    """An address; `interface` is an index into `Result.interfaces`."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None
    interface: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route; without `gw` the gateway of an address of the same family is meant.

    Those that are None were not said: the kernel's own are meant (ip-route(8)).
    """

    dst: IPv4Network | IPv6Network
    gw: IPv4Address | IPv6Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


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


@dataclass(frozen=True, slots=True)
class Args:
    """One attachment, as a plugin is told of it.

    `netns` is None, or no longer there, when only traces of the container are to be removed.
    `cni_args` are the pairs of `CNI_ARGS`, `path` are the directories of `CNI_PATH`. `runtime` is
    the plugin's own `runtimeConfig`, as JSON has it; `prev` is `prevResult`: what the plugin before
    gave (ADD), or the last plugin of the chain (CHECK, DEL).
    """

    container_id: str
    netns: Path | None
    ifname: str = "eth0"
    cni_args: Mapping[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = ()
    runtime: Mapping[str, Any] = field(default_factory=dict)
    prev: Result | None = None

    def __post_init__(self) -> None:
        require_identifier(self.container_id, "container id")
        require_interface(self.ifname)

    @property
    def attachment(self) -> Attachment:
        """What it is known by within its network."""
        return Attachment(self.container_id, self.ifname)
