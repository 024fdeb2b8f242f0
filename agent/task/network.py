"""What is known of a task's network once it has one: its interface, its attachments, its ports.

Values of the plan, as those in ``model``; they are given by the actions that make these things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - an address that is shown, nothing listens on it


@dataclass(frozen=True, slots=True)
class PortBinding:
    """One published port, or a contiguous range of ``count`` ports beginning with these."""

    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ANY_ADDRESS
    count: int = 1


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """A network interface for a task in awsvpc mode: an ENI as ECS has it.

    A ``nic`` is a device of the host that is moved into the task, found by ``mac`` or else by
    ``name``. A ``vlan`` (with the number ``vlan``, on a trunk) and a ``macvlan`` are made on
    ``parent``, which is the name or the MAC of a device. ``addresses`` have a prefix length; if
    there are none, the network's IPAM gives one. ``mtu`` 0 is that of the device. ``hostname`` is
    the private DNS name, ``subnet`` an id.
    """

    id: str
    kind: Literal["nic", "vlan", "macvlan"]
    mac: str = ""
    name: str = ""
    parent: str = ""
    vlan: int = 0
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    hostname: str = ""
    subnet: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What attaching a sandbox to its network gave. Empty where there is none.

    ``ipv4`` and ``ipv6`` are the primary addresses, ``secondary`` any others of both families, all
    without prefix length. ``hostname`` is the private DNS name of ``interface_id``.
    """

    mode: str
    ipv4: str = ""
    prefix: int = 0
    gateway: str = ""
    mac: str = ""
    ports: tuple[PortBinding, ...] = ()
    ipv6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    secondary: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    hostname: str = ""
    interface_id: str = ""
