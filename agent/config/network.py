"""What a setting about the network may be: addresses, ports, servers, names of interfaces.

Each function takes the text and raises ValueError, as in ``values``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from agent.config.values import from_json, matching
from agent.nftwords import RESERVED

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Range = tuple[Address, Address]
"""First and last address, both of it."""

INTERFACE = matching(r"[A-Za-z0-9_.-]{1,15}", "an interface name of at most 15 characters")

_NFS_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:/[^\x00]*)?")

_T = TypeVar("_T")


def subnet(text: str) -> IPv4Network:
    """The IPv4 network of a bridge."""
    network = IPv4Network(text)
    if network.prefixlen > 29:
        raise ValueError("must have room for containers: /29 or wider")
    return network


def subnet6(text: str) -> IPv6Network:
    """The IPv6 network of a bridge."""
    network = IPv6Network(text)
    if network.prefixlen > 124:
        raise ValueError("must have room for containers: /124 or wider")
    return network


def networks(text: str) -> tuple[Network, ...]:
    """A network, or one of each family."""
    return _one_per_family([ipaddress.ip_network(each) for each in _listed(text)])


def addresses(text: str) -> tuple[Address, ...]:
    """An address, or one of each family."""
    return _one_per_family([ipaddress.ip_address(each) for each in _listed(text)])


def address_ranges(text: str) -> tuple[Range, ...]:
    """A range of addresses ``FIRST-LAST``, or one of each family."""
    ranges = [_address_range(each) for each in _listed(text)]
    _one_per_family([first for first, _ in ranges])
    return tuple(ranges)


def listen(text: str) -> tuple[str, int] | None:
    """Address and port to listen on; None for ``off``."""
    if text == "off":
        return None
    found = re.fullmatch(r"([0-9.]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    port = int(found[2]) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError("must be off, or an address and port such as 127.0.0.1:51680")
    return str(ipaddress.ip_address(found[1].strip("[]"))), port


def http_address(text: str) -> str:
    """Where an HTTP server is, without a path."""
    found = re.fullmatch(r"(http://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)/?", text)
    if found is None:
        raise ValueError("must be an address such as http://169.254.169.254")
    return found[1]


def port_range(text: str) -> tuple[int, int]:
    """First and last port."""
    ends = re.fullmatch("([0-9]{1,5})-([0-9]{1,5})", text)
    low, high = (int(ends[1]), int(ends[2])) if ends else (0, 0)
    if not 1 <= low <= high <= 65535:
        raise ValueError("must be a range of ports such as 32768-60999")
    return low, high


def ports(text: str) -> frozenset[int] | None:
    """A JSON list of ports; None, as with the ECS agent, for an empty one."""
    return ports_or_none(text) or None


def ports_or_none(text: str) -> frozenset[int]:
    """A JSON list of ports, perhaps an empty one."""
    found = from_json(text)
    if not isinstance(found, list) or not all(_is_port(each) for each in found):
        raise ValueError("must be a JSON list of ports such as [22, 2375]")
    return frozenset(found)


def nfs_servers(text: str) -> Mapping[str, str]:
    """A JSON object of NFS servers by the ids of EFS file systems: ``HOST`` or ``HOST:/PATH``."""
    found = from_json(text)
    if not isinstance(found, dict) or not all(
        isinstance(each, str) and _NFS_SERVER.fullmatch(each) for each in found.values()
    ):
        raise ValueError('must be a JSON object such as {"fs-1234": "10.0.0.5:/export"}')
    return found


def nft_table(text: str) -> str:
    """The name of an nftables table."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,30}", text) is None:
        raise ValueError("must be a table name")
    if text in RESERVED:
        raise ValueError(f"is a word of nft's own language: take another, such as hostler-{text}")
    return text


def ids(prefix: str) -> Callable[[str], tuple[str, ...]]:
    """AWS's ids of one kind, such as ``subnet-0123abcd``."""
    one = matching(f"{prefix}-[0-9a-f]{{8,17}}", f"ids such as {prefix}-0123456789abcdef0")

    def parse(text: str) -> tuple[str, ...]:
        return tuple(one(each) for each in _listed(text))

    return parse


def _address_range(text: str) -> Range:
    first, dash, last = text.partition("-")
    ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address((last if dash else "").strip())
    if ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
        raise ValueError("must be a range of addresses such as 10.0.5.64-10.0.5.127")
    return ends


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _one_per_family(found: Iterable[_T]) -> tuple[_T, ...]:
    kept = tuple(found)
    if len({type(each) for each in kept}) < len(kept):
        raise ValueError("must be one, or one of IPv4 and one of IPv6 with a comma between them")
    return kept


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
