"""Ports whose packets come to nothing, each a chain of its own in a table for nothing else.

Run these in the namespace concerned (`NamespaceThread.call`). They match what is sent *to* the
port, as ECS does: `ingress` what comes in for it, `egress` what goes out to it; networks exempt
from either are matched with the destination.

The task metadata endpoint is never hit. It shares port 80 by rewriting that to a port behind it,
early on the way out (`portshare`), so neither of its ports says what is meant: its address does,
which nothing from outside can have.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final, Literal, TypeAlias

from cni.errors import CNIError, Code
from cni.firewall import nftcommand
from cni.kernel.loopback import METADATA_ADDRESS

Network: TypeAlias = IPv4Network | IPv6Network

MOST: Final = 64
"""In one namespace: all are read to start another, and each packet meets all."""

_HOOKS: Final = {"ingress": "input", "egress": "output"}
_CHAIN: Final = re.compile(r"\tchain (\S+) \{\n(.*?)\n\t\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Blackhole:
    """A port of tcp or udp, from 0 on, in one direction."""

    port: int
    protocol: Literal["tcp", "udp"]
    traffic: Literal["ingress", "egress"]

    @property
    def chain(self) -> str:
        """The name of its chain."""
        return f"{self.traffic}-{self.protocol}-{self.port}"

    @property
    def match(self) -> str:
        """What its packets are, in nft's words."""
        return f"{self.protocol} dport {self.port}"


def start(table: str, hole: Blackhole, exempt: Iterable[Network]) -> None:
    """Drop the packets, but for those to exempt networks; one that drops already stays as it is.

    Raises CNIError, also when there are `MOST` others.
    """
    chains = _chains(table)
    if _drops(hole, chains):
        return
    if len(chains.keys() - {hole.chain}) >= MOST:
        raise CNIError(Code.TRY_AGAIN_LATER, f"there are {MOST} blackholes already: stop one first")
    nftcommand.run("-f", "-", script=script(table, hole, exempt))


def stop(table: str, hole: Blackhole) -> None:
    """Drop them no more; the table goes with its last chain. Raises CNIError."""
    chains = _chains(table)
    if hole.chain not in chains:
        return
    what = f"chain inet {table} {hole.chain}" if len(chains) > 1 else f"table inet {table}"
    nftcommand.run("-f", "-", script=f"delete {what}\n")


def stop_all(table: str) -> None:
    """Drop nothing any more. Raises CNIError."""
    nftcommand.run("-f", "-", script=f"add table inet {table}\ndelete table inet {table}\n")


def running(table: str, hole: Blackhole) -> bool:
    """Whether the packets are dropped. Raises CNIError."""
    return _drops(hole, _chains(table))


def started(table: str) -> list[str]:
    """The names of the chains of all there are. Raises CNIError."""
    return list(_chains(table))


def script(table: str, hole: Blackhole, exempt: Iterable[Network]) -> str:
    """The text for nft(8) that makes the chain, whatever was in it, in one transaction."""
    chain = f"inet {table} {hole.chain}"
    hook = f"type filter hook {_HOOKS[hole.traffic]} priority filter; policy accept;"
    rule = f"add rule {chain}"
    text = f"add table inet {table}\nadd chain {chain} {{ {hook} }}\nflush chain {chain}\n"
    text += f"{rule} ip saddr {METADATA_ADDRESS} accept\n"
    text += f"{rule} ip daddr {METADATA_ADDRESS} accept\n"
    networks = tuple(exempt)
    for version, family in ((4, "ip"), (6, "ip6")):
        if own := _collapsed(each for each in networks if each.version == version):
            text += f"{rule} {hole.match} {family} daddr {{ {own} }} accept\n"
    return f"{text}{rule} {hole.match} drop\n"


def _drops(hole: Blackhole, chains: Mapping[str, str]) -> bool:
    return f"{hole.match} drop" in chains.get(hole.chain, "")


def _collapsed(networks: Iterable[Network]) -> str:
    """Those of one family, without those that others contain: elements must not overlap."""
    return ", ".join(map(str, collapse_addresses(networks)))  # type: ignore[type-var]


def _chains(table: str) -> Mapping[str, str]:
    """The table's chains by name, each with the text of its rules."""
    if f"table inet {table}" not in nftcommand.run("list", "tables", "inet").splitlines():
        return {}
    listed = nftcommand.run("--stateless", "--numeric", "list", "table", "inet", table)
    return dict(_CHAIN.findall(listed))
