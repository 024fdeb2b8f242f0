"""The numbers and forms of rtnetlink's messages, as the kernel's headers have them.

For the modules that make and read such messages: `rtnetlink`, `routes`, `bridging`, `linkwatch`.

References: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/if_bridge.h, linux/rtnetlink.h.
"""

import socket
import struct
from typing import Final

from cni.kernel.netlink import attribute

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_GETROUTE: Final = 26
RTM_DELNEIGH: Final = 29

RTMGRP_LINK: Final = 1
RTMGRP_IPV6_IFADDR: Final = 0x100
RTMGRP_IPV6_ROUTE: Final = 0x400

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINK: Final = 5
IFLA_MASTER: Final = 10
IFLA_LINKINFO: Final = 18
IFLA_IFALIAS: Final = 20
IFLA_NET_NS_FD: Final = 28
IFLA_EXT_MASK: Final = 29
IFLA_PERM_ADDRESS: Final = 54
IFLA_PARENT_DEV_NAME: Final = 56

# Inside IFLA_LINKINFO, and inside the data of each kind there.
IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
IFLA_INFO_SLAVE_KIND: Final = 4
IFLA_INFO_SLAVE_DATA: Final = 5
IFLA_VLAN_ID: Final = 1
IFLA_MACVLAN_MODE: Final = 1
IFLA_BRPORT_MODE: Final = 4  # hairpin
IFLA_BRPORT_ISOLATED: Final = 33
VETH_INFO_PEER: Final = 1

RTEXT_FILTER_SKIP_STATS: Final = 8

IFF_UP: Final = 1
IFF_PROMISC: Final = 0x100

IFA_ADDRESS: Final = 1
IFA_F_TEMPORARY: Final = 1  # of IPv6: the kernel makes new ones
IFA_LOCAL: Final = 2
IFA_F_NODAD: Final = 0x02
IFA_BROADCAST: Final = 4
IFA_F_DADFAILED: Final = 0x08

RTA_DST: Final = 1
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_PRIORITY: Final = 6
RTA_METRICS: Final = 8
RTA_TABLE: Final = 15

RTAX_MTU: Final = 2
RTAX_ADVMSS: Final = 8

RTN_UNICAST: Final = 1
RTN_LOCAL: Final = 2
RTN_MULTICAST: Final = 5
RTN_BLACKHOLE: Final = 6

RTNH_F_ONLINK: Final = 4

RTPROT_KERNEL: Final = 2  # comes with the address
RTPROT_BOOT: Final = 3
RTPROT_RA: Final = 9  # comes with the next router advertisement

RT_TABLE_UNSPEC: Final = 0
RT_SCOPE_LINK: Final = 253
RT_TABLE_MAIN: Final = 254

IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
IFADDRMSG: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, proto, scope, type
U16: Final = struct.Struct("=H")
U32: Final = struct.Struct("=I")


def link(flags: int = 0, index: int = 0) -> bytes:
    """What each message about a link begins with; the flags are all that it changes."""
    return IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, flags)


def name(text: str) -> bytes:
    """The name of a link."""
    return attribute(IFLA_IFNAME, text.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """An attribute that is a number."""
    return attribute(kind, U32.pack(value))


def text(value: bytes) -> str:
    """The text in an attribute."""
    return value.rstrip(b"\0").decode(errors="replace")
