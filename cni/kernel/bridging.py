"""The rtnetlink messages for a bridge and its ports; those for links of all kinds: `rtnetlink`.

Reference: linux/if_link.h, linux/if_bridge.h.
"""

import socket
from dataclasses import dataclass
from typing import Final

from cni.kernel import rtnl
from cni.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
)

_ALIAS_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a bridge; `note` is its alias, which says whose it is."""

    name: str
    note: str


def set_port(name: str, *, hairpin: bool, isolated: bool, note: str) -> Request:
    """Let the port send frames back to where they came from, or keep it from other such ports."""
    body = (
        rtnl.link() + rtnl.name(name) + attribute(rtnl.IFLA_IFALIAS, note.encode()[:_ALIAS_LIMIT])
    )
    body += nested(
        rtnl.IFLA_LINKINFO,
        attribute(rtnl.IFLA_INFO_SLAVE_KIND, b"bridge"),
        nested(
            rtnl.IFLA_INFO_SLAVE_DATA,
            attribute(rtnl.IFLA_BRPORT_MODE, bytes((hairpin,))),
            attribute(rtnl.IFLA_BRPORT_ISOLATED, bytes((isolated,))),
        ),
    )
    return Request(f"set up bridge port {name}", rtnl.RTM_NEWLINK, NLM_F_ACK, body)


def set_promiscuous(name: str) -> Request:
    """Let the bridge take every frame for its own as well."""
    body = rtnl.link(rtnl.IFF_PROMISC) + rtnl.name(name)
    return Request(f"make {name} promiscuous", rtnl.RTM_NEWLINK, NLM_F_ACK, body)


def is_promiscuous(netlink: NetlinkSocket, index: int) -> bool:
    """Whether somebody has made the link so."""
    body = rtnl.IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    (answer,) = netlink.query(Request(f"look up link {index}", rtnl.RTM_GETLINK, NLM_F_ACK, body))
    return bool(rtnl.IFINFOMSG.unpack_from(answer)[3] & rtnl.IFF_PROMISC)


def get_ports(netlink: NetlinkSocket, master: int) -> list[Port]:
    """Return the ports of the bridge with that index."""
    body = rtnl.link() + attribute(rtnl.IFLA_MASTER, rtnl.U32.pack(master))
    answers = netlink.query(Request("list the bridge's ports", rtnl.RTM_GETLINK, NLM_F_DUMP, body))
    found = (dict(attributes(answer, rtnl.IFINFOMSG.size)) for answer in answers)
    return [
        Port(rtnl.text(each[rtnl.IFLA_IFNAME]), rtnl.text(each.get(rtnl.IFLA_IFALIAS, b"")))
        for each in found
    ]
