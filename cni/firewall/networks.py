"""The bridges that our nftables table protects and masquerades: elements of its sets.

Listed when a network is set up, struck when it is removed; see `ruleset` for what it means.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from cni.errors import CNIError, Code
from cni.firewall.ruleset import BRIDGES, MASQUERADED, NETWORKS
from cni.kernel.netlink import NetlinkError, NetlinkSocket, Request
from cni.kernel.nfnetlink import (
    COMMENT_LIMIT,
    Element,
    add_element,
    delete_element,
    get_element,
    list_elements,
    transact,
)
from cni.spec import require_interface

_IFNAMSIZ: Final = 16
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Network:
    """A bridge and the subnets behind it; `masquerade`: what leaves has the host's address."""

    bridge: str
    subnets: tuple[IPv4Network | IPv6Network, ...] = ()
    masquerade: bool = True

    def __post_init__(self) -> None:
        require_interface(self.bridge)


def enlist(firewall: NetlinkSocket, table: str, network: Network, *, anew: bool = False) -> None:
    """Make the table treat the network so, whatever it knew of that bridge before.

    One look-up when it is so already, unless `anew` asks to trust nothing. Raises number 7 when
    another bridge has part of its subnets.
    """
    bridge = Element(_ifname(network.bridge), comment=_summary(network))
    for _ in range(_ATTEMPTS):
        if not anew and get_element(firewall, table, BRIDGES, bridge.key) == bridge:
            return
        requests = [*_strikes(firewall, table, network.bridge)]
        requests.append(add_element(table, BRIDGES, bridge))
        if network.masquerade:
            requests.append(add_element(table, MASQUERADED, Element(bridge.key)))
        for subnet in network.subnets:
            requests += _additions(table, subnet, network.bridge)
        if _changed(firewall, requests, f"network of bridge {network.bridge}"):
            return
    raise CNIError(Code.TRY_AGAIN_LATER, f"the table's entries of {network.bridge} keep changing")


def strike(firewall: NetlinkSocket, table: str, bridge: str) -> None:
    """Forget the network of that bridge; none is fine."""
    for _ in range(_ATTEMPTS):
        requests = [*_strikes(firewall, table, bridge)]
        if _changed(firewall, requests, f"network of bridge {bridge}"):
            return
    raise CNIError(Code.TRY_AGAIN_LATER, f"the table's entries of {bridge} keep changing")


def cover(
    firewall: NetlinkSocket, table: str, subnet: IPv4Network | IPv6Network, comment: str
) -> None:
    """Let published ports be answered through the host within a subnet that is nobody's of ours.

    One look-up when a listed network holds its first address.
    """
    key = subnet.network_address.packed
    if get_element(firewall, table, NETWORKS[subnet.version], key) is None:
        _changed(firewall, [*_additions(table, subnet, comment)], str(subnet))


def _changed(firewall: NetlinkSocket, requests: list[Request], what: str) -> bool:
    """Whether the transaction took place; False when its ground has shifted meanwhile."""
    try:
        transact(firewall, requests)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            msg = f"{what} overlaps a network that is there already"
            raise CNIError(Code.INVALID_CONFIG, msg, "give each its own subnet") from error
        raise
    return True


def _strikes(firewall: NetlinkSocket, table: str, bridge: str) -> Iterator[Request]:
    key = _ifname(bridge)
    for name in (BRIDGES, MASQUERADED):
        if get_element(firewall, table, name, key) is not None:
            yield delete_element(table, name, Element(key))
    for name in NETWORKS.values():
        for element in _subnets_of(list_elements(firewall, table, name), bridge):
            yield delete_element(table, name, element)


def _subnets_of(elements: list[Element], bridge: str) -> Iterator[Element]:
    """The elements of a bridge's subnets: the kernel lets the end of an interval say nothing."""
    ends = [element for element in elements if element.ends]
    for element in elements:
        if element.comment == bridge:
            yield element
            after = [end for end in ends if end.key > element.key]
            if after:
                yield min(after, key=lambda end: end.key)


def _additions(table: str, subnet: IPv4Network | IPv6Network, comment: str) -> Iterator[Request]:
    for element in interval(subnet, comment):
        yield add_element(table, NETWORKS[subnet.version], element)


def interval(subnet: IPv4Network | IPv6Network, comment: str) -> Iterator[Element]:
    """The elements of an interval set that hold a subnet; the last address of all has no end."""
    yield Element(subnet.network_address.packed, comment=comment)
    after = int(subnet.broadcast_address) + 1
    if after < 1 << subnet.max_prefixlen:
        yield Element(after.to_bytes(subnet.max_prefixlen // 8, "big"), ends=True)


def _ifname(name: str) -> bytes:
    return name.encode().ljust(_IFNAMSIZ, b"\0")


def _summary(network: Network) -> str:
    """All that is listed with the bridge, so that one look at its element tells of a change."""
    words = (*map(str, network.subnets), "masqueraded" if network.masquerade else "as it is")
    text = " ".join(words)
    return text if len(text) <= COMMENT_LIMIT else sha256(text.encode()).hexdigest()
