"""The static part of our nftables table, as text for nft(8): chains, rules, empty maps.

Made once per start of the agent with one run of `nft`; what changes per container are elements of
the map `ports` (see `nft`), so no packet and no change costs more with more containers.

What it gives, for the networks it is told:

* to a local address on a published port, from outside, from the host itself (127.0.0.1 too, with
  `route_localnet` on the bridge) and from a container (itself too, with hairpin on its bridge
  port): to the container that published it;
* from a container to the outside: with the host's address;
* nobody outside reaches an unpublished port by routing through the host, and `route_localnet` does
  not open the host's 127.0.0.0/8 to containers;
* the metadata endpoint on the host's `lo` (for tasks in host mode) answers the host only, and no
  published port takes its place.

What it cannot give: a packet must be accepted by the forward chains of *all* tables. Where another
tool drops there by policy (Docker, firewalld, ufw), no rule of ours can overrule it; that tool must
be told to accept what enters or leaves the bridge (for Docker: in its chain DOCKER-USER).
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from cni.errors import CNIError, Code
from cni.loopback import METADATA_ADDRESS
from cni.spec import require_interface

PORTS_MAP: Final = "ports"

_TABLE_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,30}")
_BRIDGE_NAME: Final = re.compile(r"[a-zA-Z0-9_.\-]+")
_DEADLINE_S: Final = 10.0

_CHAINS: Final = """\
add chain {table} guard {{ type filter hook prerouting priority raw; }}
add chain {table} forward {{ type filter hook forward priority filter; }}
add chain {table} prerouting {{ type nat hook prerouting priority dstnat; }}
add chain {table} output {{ type nat hook output priority -100; }}
add chain {table} postrouting {{ type nat hook postrouting priority srcnat; }}
flush table {table}
add rule {table} guard iifname @bridges ip daddr 127.0.0.0/8 drop
add rule {table} guard iif != lo ip daddr {metadata} fib daddr type local drop
add rule {table} forward iifname != @bridges oifname @bridges \
ct state != {{ established, related }} ct status & dnat == 0 drop
add rule {table} prerouting {publish}
add rule {table} output {publish}
add rule {table} postrouting ip saddr @networks ip daddr != @networks masquerade
add rule {table} postrouting ip saddr @networks ip daddr @networks ct status dnat masquerade
add rule {table} postrouting ip saddr 127.0.0.0/8 ip daddr @networks masquerade
"""
_PUBLISH: Final = (
    f"meta l4proto {{ tcp, udp }} ip daddr != {METADATA_ADDRESS} fib daddr type local "
    f"dnat ip to meta l4proto . th dport map @{PORTS_MAP}"
)


@dataclass(frozen=True, slots=True)
class Network:
    """A bridge and the subnet behind it."""

    bridge: str
    subnet: IPv4Network


def ensure_table(name: str, networks: Sequence[Network]) -> None:
    """Make table `inet <name>` for exactly these networks, in one transaction.

    May be run over an existing table: published ports stay, and no packet meets a half-made one.
    """
    _run(script(name, networks))


def remove_table(name: str) -> None:
    """Remove the table with all published ports; none is fine."""
    table = _table(name)
    _run(f"add table {table}\ndelete table {table}\n")


def script(name: str, networks: Sequence[Network]) -> str:
    """Return the text for nft(8) that makes the table."""
    table = _table(name)
    lines = [
        f"add table {table}",
        f"add map {table} {PORTS_MAP} "
        "{ type inet_proto . inet_service : ipv4_addr . inet_service; }",
        f"add set {table} networks {{ type ipv4_addr; flags interval; }}",
        f"add set {table} bridges {{ type ifname; }}",
        f"flush set {table} networks",
        f"flush set {table} bridges",
    ]
    for network in networks:
        lines.append(f"add element {table} networks {{ {network.subnet} }}")
        lines.append(f'add element {table} bridges {{ "{_bridge(network.bridge)}" }}')
    return (
        "\n".join(lines)
        + "\n"
        + _CHAINS.format(table=table, publish=_PUBLISH, metadata=METADATA_ADDRESS)
    )


def _table(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise CNIError(Code.INVALID_CONFIG, f"{name!r} is not a name for an nftables table")
    return f"inet {name}"


def _bridge(name: str) -> str:
    if not _BRIDGE_NAME.fullmatch(require_interface(name)):
        raise CNIError(Code.INVALID_CONFIG, f"{name!r} is not a name for a bridge")
    return name


def _run(text: str) -> None:
    try:
        subprocess.run(
            ["nft", "-f", "-"],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_DEADLINE_S,
        )
    except FileNotFoundError as error:
        hint = "install the package nftables"
        raise CNIError(Code.PLUGIN_NOT_AVAILABLE, "nft is not installed", hint) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise CNIError(Code.IO_FAILURE, "nft refused the table", reason) from error
    except subprocess.TimeoutExpired as error:
        raise CNIError(Code.TRY_AGAIN_LATER, "nft does not answer") from error
