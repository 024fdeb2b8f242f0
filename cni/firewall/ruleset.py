"""The static part of our nftables table, as text for nft(8): chains, rules, empty maps and sets.

Made with one run of `nft` where it isn't there yet; what changes per container or network are
elements of its maps and sets (`ports`, `networks`), so no packet and no change costs more with more
containers.

What it gives, for the networks it is told:

* to a local address on a published port, from outside, from the host itself (127.0.0.1 too, with
  `route_localnet` on the bridge) and from a container (itself too, with hairpin on its bridge
  port): to the container that published it, at that very address first, else at any;
* from a container to the outside: with the host's address, where the network wants it so;
* nobody outside reaches an unpublished port by routing through the host, and `route_localnet` does
  not open the host's 127.0.0.0/8 to containers or neighbours;
* the metadata endpoint on the host's `lo` (for tasks in host mode) answers the host only, and no
  published port takes its place.

IPv6 has no `route_localnet` and does not forward link-local addresses: published ports are neither
at ::1 nor below fe80::/10.

What it cannot give: a packet must be accepted by the forward chains of *all* tables. Where another
tool drops there (Docker, firewalld, ufw), no rule of ours can overrule it: see `coexistence`.
"""

import re
from hashlib import sha256
from typing import Final

from cni.errors import CNIError, Code
from cni.firewall import nftcommand
from cni.kernel import nfnetlink
from cni.kernel.loopback import METADATA_ADDRESS
from cni.kernel.netlink import NetlinkSocket

BRIDGES: Final = "bridges"
"""Set of the interfaces whose unpublished ports are shielded."""
MASQUERADED: Final = "masqueraded"
"""Set of those whose traffic leaves with the host's address."""
NETWORKS: Final = {4: "networks4", 6: "networks6"}
"""Sets of subnets within which a published port is answered through the host, by IP version."""
PORTS: Final = {4: "ports4", 6: "ports6"}
"""Maps of the ports published at all addresses, by IP version."""
ADDRESS_PORTS: Final = {4: "address_ports4", 6: "address_ports6"}
"""Maps of the ports published at one address."""
VERSION: Final = "version"
"""Set with one number: which text the table was made from."""

DEFAULT_TABLE: Final = "hostler-cni"
_TABLE_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_\-]{0,30}")

_TEXT: Final = f"""\
add table {{table}}
add map {{table}} ports4 {{{{ type inet_proto . inet_service : ipv4_addr . inet_service; }}}}
add map {{table}} ports6 {{{{ type inet_proto . inet_service : ipv6_addr . inet_service; }}}}
add map {{table}} address_ports4 \
{{{{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}}}
add map {{table}} address_ports6 \
{{{{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}}}
add set {{table}} bridges {{{{ type ifname; }}}}
add set {{table}} masqueraded {{{{ type ifname; }}}}
add set {{table}} networks4 {{{{ type ipv4_addr; flags interval; }}}}
add set {{table}} networks6 {{{{ type ipv6_addr; flags interval; }}}}
add set {{table}} version {{{{ type mark; }}}}
add chain {{table}} guard {{{{ type filter hook prerouting priority raw; }}}}
add chain {{table}} forward {{{{ type filter hook forward priority filter; }}}}
add chain {{table}} prerouting {{{{ type nat hook prerouting priority dstnat; }}}}
add chain {{table}} output {{{{ type nat hook output priority -100; }}}}
add chain {{table}} postrouting {{{{ type nat hook postrouting priority srcnat; }}}}
add chain {{table}} publish
flush table {{table}}
add rule {{table}} guard iif != lo ip daddr 127.0.0.0/8 drop
add rule {{table}} guard iif != lo ip daddr {METADATA_ADDRESS} fib daddr type local drop
add rule {{table}} forward iifname != @bridges oifname @bridges \
ct state != {{{{ established, related }}}} ct status & dnat == 0 drop
add rule {{table}} prerouting fib daddr type local jump publish
add rule {{table}} output fib daddr type local jump publish
add rule {{table}} publish meta l4proto != {{{{ tcp, udp, sctp }}}} return
add rule {{table}} publish ip daddr {METADATA_ADDRESS} return
add rule {{table}} publish ip6 daddr {{{{ ::1, fe80::/10 }}}} return
add rule {{table}} publish \
dnat ip to ip daddr . meta l4proto . th dport map @address_ports4
add rule {{table}} publish dnat ip to meta l4proto . th dport map @ports4
add rule {{table}} publish \
dnat ip6 to ip6 daddr . meta l4proto . th dport map @address_ports6
add rule {{table}} publish dnat ip6 to meta l4proto . th dport map @ports6
add rule {{table}} postrouting ip saddr @networks4 ip daddr @networks4 ct status dnat masquerade
add rule {{table}} postrouting ip6 saddr @networks6 ip6 daddr @networks6 ct status dnat masquerade
add rule {{table}} postrouting oif != lo ip saddr 127.0.0.0/8 ct status dnat masquerade
add rule {{table}} postrouting ip daddr 224.0.0.0/4 return
add rule {{table}} postrouting ip6 daddr ff00::/8 return
add rule {{table}} postrouting iifname @masqueraded oifname != @bridges masquerade
flush set {{table}} version
add element {{table}} version {{{{ {{version}} }}}}
"""
_VERSION_NUMBER: Final = int.from_bytes(sha256(_TEXT.encode()).digest()[:4], "big")

VERSION_KEY: Final = _VERSION_NUMBER.to_bytes(4, "little")
"""Key of the element of `VERSION`; adding it is the last step of making the table."""


def ensure_table(table: str, firewall: NetlinkSocket) -> None:
    """Make table `inet <table>` unless it is there as this version of Hostler makes it."""
    if not is_current(table, firewall):
        make_table(table)


def is_current(table: str, firewall: NetlinkSocket) -> bool:
    """Whether the table was made by this version. Somebody may have changed it since."""
    name = require_table(table)
    return nfnetlink.get_element(firewall, name, VERSION, VERSION_KEY) is not None


def make_table(table: str) -> None:
    """Make the table in one transaction, over whatever there is of it.

    Published ports and networks stay, and no packet meets a half-made table.
    """
    nftcommand.run("-f", "-", script=script(table))


def remove_table(table: str) -> None:
    """Remove the table with all published ports; none is fine."""
    name = require_table(table)
    nftcommand.run("-f", "-", script=f"add table inet {name}\ndelete table inet {name}\n")


def try_table(table: str) -> None:
    """Raise CNIError when the table could not be made here; nothing is changed."""
    nftcommand.run("-c", "-f", "-", script=script(table))


def script(table: str) -> str:
    """Return the text for nft(8) that makes the table."""
    return _TEXT.format(table=f"inet {require_table(table)}", version=f"{_VERSION_NUMBER:#x}")


def require_table(name: str) -> str:
    """Return `name` when it may name a table of ours; else raise number 7."""
    if not _TABLE_NAME.fullmatch(name):
        raise CNIError(
            Code.INVALID_CONFIG,
            f"{name!r} is not a name for an nftables table",
            "letters, digits, _ and -, a letter first, at most 31",
        )
    return name
