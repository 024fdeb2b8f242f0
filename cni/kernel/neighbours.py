"""Telling the neighbours of a link that an IPv6 address is here now, and at which MAC.

The kernel does so for IPv4 as a link comes up (`arp_notify`), for IPv6 only after a search for
duplicates, which an address that must be usable at once does without (`routes.new_address`).

Reference: RFC 4861, sections 4.4 and 7.2.6.
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

from cni.kernel.rtnetlink import Link

_ALL_NODES: Final = "ff02::1"
# Type, code, checksum (the kernel's), flags, target; an option with its type, length and the MAC.
_ADVERTISEMENT: Final = struct.Struct("!BBHI16sBB6s")
_NEIGHBOR_ADVERTISEMENT: Final = 136
_OVERRIDE: Final = 0x20000000
_TARGET_MAC: Final = 2
_HOPS: Final = 255


def announce(link: Link, addresses: Iterable[IPv6Address]) -> None:
    """Send an unsolicited advertisement for each address. Runs in the link's namespace."""
    mac = bytes.fromhex(link.mac.replace(":", ""))
    for address in addresses:
        fields = (_NEIGHBOR_ADVERTISEMENT, 0, 0, _OVERRIDE, address.packed, _TARGET_MAC, 1, mac)
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
            raw.bind((str(address), 0))
            raw.sendto(_ADVERTISEMENT.pack(*fields), (_ALL_NODES, 0, 0, link.index))
