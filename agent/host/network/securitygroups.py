"""The operator's security groups: a file as ``aws ec2 describe-security-groups`` prints it.

Tasks name groups; ``SecurityGroups.rules`` makes of them what the CNI plugin ``hostler-firewall``
takes. Networks are all that rules may speak of: members of other groups and of prefix lists are
known to EC2 only, so a file with such references is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_pascal

DEFAULT = "default"
"""The name of the group that applies to tasks that name none (EC2's name for it)."""

_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp"}
_WITH_PORTS = ("tcp", "udp", "sctp")
_LAST_PORT = 65535
_LAST_PROTOCOL = 255

Rules = dict[str, list[dict[str, Any]]]


class SecurityGroupError(Exception):
    """A file or a name that can't be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class SecurityGroups:
    """The groups of one file; without a file there are none."""

    path: Path | None = None
    groups: tuple[_Group, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All ids and names that a task may name."""
        ids = (group.group_id for group in self.groups)
        return frozenset((*ids, *(group.group_name for group in self.groups)))

    def rules(self, names: Iterable[str]) -> Rules | None:
        """The capability argument ``securityGroups`` for these groups, by their ids or names.

        What any of them allows is allowed. Without names it is the group ``default``, and None if
        there is none: then everything is.
        """
        asked = list(dict.fromkeys(names))
        if asked:
            chosen = [self._find(name) for name in asked]
        else:
            chosen = [self._find(DEFAULT)] if self._named(DEFAULT) else []
        if not chosen:
            return None
        return {
            "ingress": _union(rule for group in chosen for rule in group.ip_permissions),
            "egress": _union(rule for group in chosen for rule in group.ip_permissions_egress),
        }

    def _named(self, name: str) -> list[_Group]:
        return [group for group in self.groups if name in (group.group_id, group.group_name)]

    def _find(self, name: str) -> _Group:
        found = self._named(name)
        if not found:
            there = ", ".join(f"{one.group_id} ({one.group_name})" for one in self.groups) or "none"
            where = self.path or "the settings"
            msg = f"there is no security group {name!r} in {where}; there are: {there}"
            raise SecurityGroupError(msg)
        if len(found) > 1:
            ids = ", ".join(one.group_id for one in found)
            msg = f"several security groups in {self.path} are called {name!r}: name one of {ids}"
            raise SecurityGroupError(msg)
        return found[0]


def load(path: Path | None) -> SecurityGroups:
    """The groups of a file. Raises ``SecurityGroupError`` naming the file and the place in it."""
    if path is None:
        return SecurityGroups()
    try:
        text = path.read_bytes()
    except OSError as error:
        msg = f"HOSTLER_SECURITY_GROUPS: can't read {path}: {error.strerror}"
        raise SecurityGroupError(msg) from error
    try:
        groups = tuple(_File.model_validate_json(text).security_groups)
    except ValidationError as error:
        first = error.errors()[0]
        raise SecurityGroupError(f"{path}: {_place(first['loc'])}{first['msg']}") from error
    for index, group in enumerate(groups):
        for place in group.references():
            msg = f"{path}: SecurityGroups[{index}].{place}: only networks can be allowed"
            raise SecurityGroupError(msg)
    return SecurityGroups(path, groups)


class _Shape(BaseModel):
    """Of what AWS prints, only what is read; the rest may be anything."""

    model_config = ConfigDict(alias_generator=to_pascal, frozen=True)


class _Range(_Shape):
    cidr_ip: IPv4Network


class _Ipv6Range(_Shape):
    cidr_ipv6: IPv6Network = Field(alias="CidrIpv6")


class _Permission(_Shape):
    """``from_port`` and ``to_port`` are absent for all ports; for ICMP they are type and code."""

    ip_protocol: str
    from_port: int = Field(-1, ge=-1, le=_LAST_PORT)
    to_port: int = Field(-1, ge=-1, le=_LAST_PORT)
    ip_ranges: tuple[_Range, ...] = ()
    ipv6_ranges: tuple[_Ipv6Range, ...] = ()
    user_id_group_pairs: tuple[dict[str, Any], ...] = ()
    prefix_list_ids: tuple[dict[str, Any], ...] = ()

    @field_validator("ip_protocol")
    @classmethod
    def _is_protocol(cls, text: str) -> str:
        if text not in ("tcp", "udp", "icmp", "icmpv6", "-1") and (
            not text.isdecimal() or int(text) > _LAST_PROTOCOL
        ):
            raise ValueError("must be tcp, udp, icmp, icmpv6, a number to 255, or -1")
        return _NAMES.get(text, text)

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        if self.ip_protocol in _WITH_PORTS and self.from_port > self.to_port:
            raise ValueError(f"port {self.from_port} comes after {self.to_port}")
        return self

    def references(self) -> Iterator[str]:
        """What it speaks of that only EC2 knows."""
        for index, pair in enumerate(self.user_id_group_pairs):
            yield f"UserIdGroupPairs[{index}] refers to group {pair.get('GroupId')}"
        for index, prefixes in enumerate(self.prefix_list_ids):
            yield f"PrefixListIds[{index}] refers to list {prefixes.get('PrefixListId')}"

    def rule(self) -> dict[str, Any]:
        """As the plugin has it."""
        v4 = [str(each.cidr_ip) for each in self.ip_ranges]
        v6 = [str(each.cidr_ipv6) for each in self.ipv6_ranges]
        return {"protocol": self.ip_protocol, "ports": self._ports(), "cidrs": v4 + v6}

    def _ports(self) -> str:
        protocol, first, last = self.ip_protocol, self.from_port, self.to_port
        if protocol in ("icmp", "icmpv6"):
            return "" if first < 0 else f"{first}" if last < 0 else f"{first}/{last}"
        if protocol not in _WITH_PORTS or first < 0 or (first, last) == (0, _LAST_PORT):
            return ""
        return f"{first}-{last}" if first < last else f"{first}"


class _Group(_Shape):
    group_id: str
    group_name: str
    ip_permissions: tuple[_Permission, ...]
    ip_permissions_egress: tuple[_Permission, ...]

    def references(self) -> Iterator[str]:
        """The places of what only EC2 knows."""
        for key, permissions in (
            ("IpPermissions", self.ip_permissions),
            ("IpPermissionsEgress", self.ip_permissions_egress),
        ):
            for index, permission in enumerate(permissions):
                for place in permission.references():
                    yield f"{key}[{index}].{place}"


class _File(_Shape):
    security_groups: tuple[_Group, ...]


def _union(permissions: Iterable[_Permission]) -> list[dict[str, Any]]:
    """Each rule once, without those that speak of no network."""
    found: list[dict[str, Any]] = []
    for rule in (permission.rule() for permission in permissions):
        if rule["cidrs"] and rule not in found:
            found.append(rule)
    return found


def _place(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in location)
    return f"{text.lstrip('.')}: " if text else ""
