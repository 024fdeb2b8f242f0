"""Who may talk to a task and to whom it may: rules as security groups have them, as nftables text.

Pure. Used by `security`. All rules on ports become the elements of one set for each direction and
family, so that a packet costs the same however many there are. Elements of such a set must not
overlap; so the ports are cut wherever a rule begins or ends, and each piece goes with the addresses
of all rules that cover it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import pairwise
from typing import Final, TypeAlias

from cni.conf import Fields
from cni.kernel.loopback import METADATA_ADDRESS

Network: TypeAlias = IPv4Network | IPv6Network

WITH_PORTS: Final = ("tcp", "udp", "sctp")
ANY: Final = "-1"
_PING: Final = {"icmp": 4, "icmpv6": 6}
_NUMBERS: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp"}
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_TYPE: Final = re.compile(r"(\d{1,3})(?:/(\d{1,3}))?", re.ASCII)
_LAST_PORT: Final = 65535

# Neighbour discovery (RFC 4861) and the multicast membership that it needs on switches (RFC 3810).
_NEIGHBOURS: Final = "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept"
_CHAIN: Final = """\
add chain {table} {chain} {{ type filter hook {hook} priority filter; policy accept; }}
add rule {table} {chain} {away} != "{interface}" accept
add rule {table} {chain} ct state {{ established, related }} accept
add rule {table} {chain} {neighbours}
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule lets pass: a protocol, from or to networks.

    `first` and `last` are ports, for ICMP type and code (-1: any), else they mean nothing.
    """

    protocol: str
    networks: tuple[Network, ...]
    first: int = 0
    last: int = _LAST_PORT


@dataclass(frozen=True, slots=True)
class AllowList:
    """The rules of both directions; None lets everything pass."""

    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None


def parse(fields: Fields) -> AllowList:
    """Read `{"ingress": [...], "egress": [...]}`; a direction that is not there is free.

    A rule is `{"protocol": "tcp", "ports": "80-90", "cidrs": ["10.0.0.0/8", "::/0"]}`. Protocols
    are tcp, udp, sctp, icmp, icmpv6, a number, or -1 for all. No `ports` means all of them; for
    ICMP they are `type` or `type/code`. Raises number 7.
    """

    def rules(key: str) -> tuple[Rule, ...] | None:
        if fields.values.get(key) is None:
            return None
        return tuple(_rule(each) for each in fields.objects(key))

    return AllowList(rules("ingress"), rules("egress"))


def script(table: str, interface: str, allowed: AllowList) -> str:
    """The text for nft(8) that makes the table, whatever was there, in one transaction."""
    text = f"add table inet {table}\ndelete table inet {table}\n"
    if allowed.ingress is None and allowed.egress is None:
        return text
    text += f"add table inet {table}\n"
    if allowed.ingress is not None:
        text += _chain(table, interface, "ingress", allowed.ingress)
    if allowed.egress is not None:
        text += _chain(table, interface, "egress", allowed.egress)
    return text


def _chain(table: str, interface: str, name: str, rules: Sequence[Rule]) -> str:
    ingress = name == "ingress"
    text = _CHAIN.format(
        table=f"inet {table}",
        chain=name,
        hook="input" if ingress else "output",
        away="iifname" if ingress else "oifname",
        interface=interface,
        neighbours=_NEIGHBOURS,
    )
    rule = f"add rule inet {table} {name}"
    if not ingress:
        text += f"{rule} ip daddr {METADATA_ADDRESS} accept\n"
    side = "saddr" if ingress else "daddr"
    for version, family, kind in ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr")):
        found = elements(rules, version)
        if found:
            members = ", ".join(f"{network} . {proto} . {ports}" for network, proto, ports in found)
            of_all = f"inet {table} {name}{version}"
            text += f"add set {of_all} {{ type {kind} . inet_proto . inet_service; "
            text += f"flags interval; elements = {{ {members} }}; }}\n"
            text += f"{rule} {family} {side} . meta l4proto . th dport @{name}{version} accept\n"
        for match, networks in _without_ports(rules, version).items():
            text += f"{rule} {family} {side} {{ {', '.join(map(str, networks))} }} {match}accept\n"
    return f"{text}{rule} drop\n"


def elements(rules: Iterable[Rule], version: int) -> list[tuple[Network, str, str]]:
    """Network, protocol and ports of what the rules on ports let pass; no two overlap."""
    found = []
    for protocol in WITH_PORTS:
        own = [
            (rule.first, rule.last, own_networks)
            for rule in rules
            if rule.protocol == protocol and (own_networks := _of(rule, version))
        ]
        for first, last, networks in _pieces(own):
            ports = f"{first}-{last}" if first < last else f"{first}"
            found += [(network, protocol, ports) for network in networks]
    return found


def _pieces(
    ranges: Sequence[tuple[int, int, Sequence[Network]]],
) -> Iterator[tuple[int, int, tuple[Network, ...]]]:
    """The ports cut wherever a range begins or ends, each piece with all networks that cover it."""
    cuts = sorted({first for first, _, _ in ranges} | {last + 1 for _, last, _ in ranges})
    held: tuple[int, int, tuple[Network, ...]] | None = None
    for start, end in pairwise(cuts):
        networks = _collapsed(
            network for first, last, own in ranges if first <= start <= last for network in own
        )
        if held and held[1] + 1 == start and held[2] == networks:
            held = (held[0], end - 1, networks)
            continue
        if held:
            yield held
        held = (start, end - 1, networks) if networks else None
    if held:
        yield held


def _without_ports(rules: Iterable[Rule], version: int) -> Mapping[str, tuple[Network, ...]]:
    """The other rules: what must match besides the address, with all networks."""
    found: dict[str, list[Network]] = {}
    for rule in rules:
        if rule.protocol not in WITH_PORTS and _PING.get(rule.protocol, version) == version:
            found.setdefault(_match(rule), []).extend(_of(rule, version))
    return {match: _collapsed(each) for match, each in found.items() if each}


def _match(rule: Rule) -> str:
    if rule.protocol == ANY:
        return ""
    if rule.protocol not in _PING:
        return f"meta l4proto {rule.protocol} "
    if rule.first < 0:
        return f"meta l4proto {rule.protocol if rule.protocol == 'icmp' else 'ipv6-icmp'} "
    code = f"{rule.protocol} code {rule.last} " if rule.last >= 0 else ""
    return f"{rule.protocol} type {rule.first} {code}"


def _of(rule: Rule, version: int) -> list[Network]:
    return [network for network in rule.networks if network.version == version]


def _collapsed(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Without those that others contain; all of one family."""
    return tuple(collapse_addresses(networks))  # type: ignore[type-var]


def _rule(fields: Fields) -> Rule:
    protocol = fields.text("protocol").lower()
    protocol = _NUMBERS.get(protocol, protocol)
    known = protocol in (*WITH_PORTS, *_PING, ANY)
    if not known and not (protocol.isascii() and protocol.isdecimal() and int(protocol) < 256):
        raise fields.wrong("protocol", "must be tcp, udp, sctp, icmp, icmpv6, a number, or -1")
    try:
        networks = tuple(ip_network(text, strict=False) for text in fields.texts("cidrs"))
    except ValueError as error:
        raise fields.wrong("cidrs", "must be networks such as 10.0.0.0/8") from error
    return Rule(protocol, networks, *_range(fields, protocol))


def _range(fields: Fields, protocol: str) -> tuple[int, int]:
    text = fields.text("ports")
    if protocol in _PING:
        return _icmp(fields, text)
    if not text:
        return 0, _LAST_PORT
    if protocol not in WITH_PORTS:
        raise fields.wrong("ports", f"must be empty for protocol {protocol}")
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= _LAST_PORT:
        raise fields.wrong("ports", "must be a port, or a range such as 80-90")
    return first, last


def _icmp(fields: Fields, text: str) -> tuple[int, int]:
    if not text:
        return -1, -1
    found = _TYPE.fullmatch(text)
    kind, code = (int(found[1]), int(found[2] or -1)) if found else (256, -1)
    if max(kind, code) > 255:
        raise fields.wrong("ports", "must be an ICMP type, or type/code such as 3/4")
    return kind, code
