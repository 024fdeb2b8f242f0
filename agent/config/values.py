"""What the text of a setting may be, and the value that it stands for.

Each function takes the text and raises ValueError that ends the sentence "NAME=text (where): ...".
Where the ECS agent takes another value than the one that was asked for, it is Adjusted.
"""

from __future__ import annotations

import ipaddress
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Generic, TypeVar

from agent.config.shown import lasting
from agent.nftwords import RESERVED

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Range = tuple[Address, Address]
"""First and last address, both of it."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Adjusted(Generic[_T]):
    """A value in the place of the one asked for; ``why`` ends the sentence as an error does."""

    value: _T
    why: str


_LONGEST_S = 2**63 / 1e9
"""Go's durations are 64-bit nanoseconds."""

_LONGEST_KEY, _LONGEST_TAG = 128, 256
"""Characters of a tag's key and value."""


_SHARED = frozenset(
    f"/{each}"
    for each in (
        *("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc"),
        *("root", "run", "sbin", "srv", "sys", "tmp", "usr", "usr/local", "var", "var/cache"),
        *("var/lib", "var/lock", "var/log", "var/opt", "var/run", "var/spool", "var/tmp"),
        *("run/containerd", "run/lock", "run/netns", "run/systemd", "run/user"),
        *("var/lib/containerd", "var/lib/docker"),
    )
)
"""Folders of hier(7), and of container runtimes."""


def absolute(text: str) -> Path:
    """An absolute path."""
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def own_folder(text: str) -> Path:
    """An absolute path that is nobody else's: the agent removes what it finds there."""
    plain = "/" + posixpath.normpath(absolute(text)).lstrip("/")
    if plain in _SHARED:
        raise ValueError("must be a folder of its own, such as /srv/hostler")
    return Path(plain)


def search_path(text: str) -> tuple[Path, ...]:
    """Absolute paths with colons between them."""
    return tuple(absolute(each) for each in text.split(":") if each)


def boolean(text: str) -> bool:
    """What Go's strconv.ParseBool takes, and so the ECS agent, which trims it."""
    text = text.strip()
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError("must be true or false")


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Text that the pattern matches as a whole; ``what`` says it in words."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {what}")
        return text

    return parse


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TERM = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|us|µs|ns|m|s)")


def duration(text: str) -> float:
    """Seconds of a duration in Go's syntax: ``90s``, ``10m``, ``1h30m``, ``0``; not negative."""
    if text == "0":
        return 0.0
    parts = _TERM.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds >= _LONGEST_S:
        raise ValueError("is longer than 292 years")
    return seconds


def at_least(
    lowest: float, otherwise: float, *, unset: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bound: below ``lowest`` it is ``otherwise``; 0 is unset."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if seconds == 0:
            return unset
        if seconds >= lowest:
            return seconds
        return Adjusted(otherwise, f"is below {lasting(lowest)}: it is {lasting(otherwise)}")

    return parse


def between(
    lowest: float, highest: float, *, unset: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bounds: beyond one of them it is that one; 0 is unset."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if seconds == 0:
            return unset
        bound = min(max(seconds, lowest), highest)
        if bound == seconds:
            return seconds
        return Adjusted(
            bound,
            f"is not between {lasting(lowest)} and {lasting(highest)}: it is {lasting(bound)}",
        )

    return parse


def within(
    lowest: float, highest: float, *, otherwise: float
) -> Callable[[str], float | Adjusted[float]]:
    """A duration with the ECS agent's bounds: beyond one of them, as unset, it is ``otherwise``."""

    def parse(text: str) -> float | Adjusted[float]:
        seconds = duration(text)
        if lowest <= seconds <= highest:
            return seconds
        if seconds == 0:
            return otherwise
        return Adjusted(
            otherwise,
            f"is not between {lasting(lowest)} and {lasting(highest)}: it is {lasting(otherwise)}",
        )

    return parse


def rate(
    per_second: float, burst: int
) -> Callable[[str], tuple[float, int] | Adjusted[tuple[float, int]]]:
    """``RATE,BURST``, both whole numbers; these defaults where one of them is not positive."""

    def parse(text: str) -> tuple[float, int] | Adjusted[tuple[float, int]]:
        found = re.fullmatch(r"(-?[0-9]{1,9}),(-?[0-9]{1,9})", text.replace(" ", ""))
        if found is None:
            raise ValueError("must be requests per second and a burst, such as 40,60")
        asked = float(found[1]), int(found[2])
        if min(asked) > 0:
            return asked
        why = f"is not positive: it is {per_second:g},{burst}"
        return Adjusted((per_second, burst), why)

    return parse


def tags(text: str) -> Mapping[str, str]:
    """A JSON object of texts, within ECS's bounds of tags."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError('must be a JSON object of texts such as {"rack": "7"}')
    if any(len(key) > _LONGEST_KEY or len(each) > _LONGEST_TAG for key, each in found.items()):
        raise ValueError(
            f"has a key of more than {_LONGEST_KEY} characters or a value of more "
            f"than {_LONGEST_TAG}"
        )
    return found


_NFS_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:/[^\x00]*)?")


def nfs_servers(text: str) -> Mapping[str, str]:
    """A JSON object of NFS servers by the ids of EFS file systems: ``HOST`` or ``HOST:/PATH``."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(each, str) and _NFS_SERVER.fullmatch(each) for each in found.values()
    ):
        raise ValueError('must be a JSON object such as {"fs-1234": "10.0.0.5:/export"}')
    return found


def whole(highest: int, lowest: int = 0) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) is None or not lowest <= int(text) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def ports(text: str) -> frozenset[int] | None:
    """A JSON list of ports; None, as with the ECS agent, for an empty one."""
    return ports_or_none(text) or None


def ports_or_none(text: str) -> frozenset[int]:
    """A JSON list of ports, perhaps an empty one."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(_is_port(each) for each in found):
        raise ValueError("must be a JSON list of ports such as [22, 2375]")
    return frozenset(found)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


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


def listen(text: str) -> tuple[str, int] | None:
    """Address and port to listen on; None for ``off``."""
    if text == "off":
        return None
    found = re.fullmatch(r"([0-9.]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    port = int(found[2]) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError("must be off, or an address and port such as 127.0.0.1:51680")
    return str(ipaddress.ip_address(found[1].strip("[]"))), port


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


def at_least_one(text: str) -> int:
    """A whole number that is not zero."""
    if re.fullmatch("[0-9]{1,6}", text) is None or int(text) == 0:
        raise ValueError("must be a whole number from 1 on")
    return int(text)


def count_or(otherwise: int) -> Callable[[str], int | Adjusted[int]]:
    """A whole number with the ECS agent's bound: below 1 it is ``otherwise``."""

    def parse(text: str) -> int | Adjusted[int]:
        if re.fullmatch("-?[0-9]{1,9}", text.strip()) is None:
            raise ValueError("must be a whole number")
        if int(text) >= 1:
            return int(text)
        return Adjusted(otherwise, f"is less than 1: it is {otherwise}")

    return parse


def count_within(lowest: int, highest: int) -> Callable[[str], int | Adjusted[None]]:
    """A whole number with the ECS agent's bounds: beyond one of them it is as if not set."""

    def parse(text: str) -> int | Adjusted[None]:
        if re.fullmatch("-?[0-9]{1,18}", text.strip()) is None:
            raise ValueError("must be a whole number")
        if lowest <= int(text) <= highest:
            return int(text)
        return Adjusted(None, f"is not between {lowest} and {highest}: it is as if not set")

    return parse


def percent(text: str) -> int:
    """A share of a whole, 1 to 100."""
    if re.fullmatch("[0-9]{1,3}%?", text) is None or not 1 <= int(text.rstrip("%")) <= 100:
        raise ValueError("must be a percentage from 1 to 100")
    return int(text.rstrip("%"))


_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def size(text: str) -> int:
    """Bytes: a whole number, with k, m, g or t for powers of 1024."""
    found = re.fullmatch("([0-9]{1,12})([kmgt]?)b?", text.lower())
    if found is None or int(found[1]) == 0:
        raise ValueError("must be a size such as 500m or 32g")
    return int(found[1]) * _BYTES[found[2]]


def texts(text: str) -> frozenset[str]:
    """Texts with commas between them, taken as they are."""
    return frozenset(each for each in text.split(",") if each)


def pull_behavior(text: str) -> str | Adjusted[str]:
    """How eagerly images are pulled. As in the ECS agent anything unknown is the default."""
    known = ("default", "always", "once", "prefer-cached")
    if text in known:
        return text
    return Adjusted("default", f"is none of {', '.join(known)}: it is default")


def cluster(text: str) -> str:
    """A cluster's name, which may be given as its ARN."""
    name = text.strip()
    if (arn := re.fullmatch(r"arn:aws[a-z-]*:ecs:[^:]+:[0-9]{12}:cluster/(.+)", name)) is not None:
        name = arn[1]
    if re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) is None:
        raise ValueError("must be letters, digits, - and _, or a cluster's ARN")
    return name


def trimmed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """What ``parse`` makes of the text without the space around it."""
    return lambda text: parse(text.strip())


def nft_table(text: str) -> str:
    """The name of an nftables table."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,30}", text) is None:
        raise ValueError("must be a table name")
    if text in RESERVED:
        raise ValueError(f"is a word of nft's own language: take another, such as hostler-{text}")
    return text


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


INTERFACE = matching(r"[A-Za-z0-9_.-]{1,15}", "an interface name of at most 15 characters")
WORD = matching(r"[A-Za-z0-9_-]{1,255}", "letters, digits, - and _")
