"""Transactions of nftables over netlink: all of their requests take effect, or none.

Used by `nft` and `portshare`, which pack what is inside.

References: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cni.netlink import NLM_F_ACK, NetlinkSocket, Request

_NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_NFGENMSG: Final = struct.Struct("!BBH")  # family, version, resource id

HEADER_SIZE: Final = _NFGENMSG.size

_NAMED: Final = _NFGENMSG.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM)
_BEGIN: Final = Request("begin", _BATCH_BEGIN, 0, _NAMED)
_END: Final = Request("commit", _BATCH_END, 0, _NAMED)


def open_socket() -> NetlinkSocket:
    """Return a socket on the calling thread's network namespace."""
    return NetlinkSocket(_NETLINK_NETFILTER)


def kind(message: int) -> int:
    """Return the netlink type of an nftables message (NFT_MSG_*)."""
    return _SUBSYSTEM << 8 | message


def header(family: int) -> bytes:
    """Return what each nftables message begins with."""
    return _NFGENMSG.pack(family, 0, 0)


def transact(netlink: NetlinkSocket, requests: Sequence[Request]) -> None:
    """Carry out the requests; `position` of a NetlinkError counts from 1."""
    if requests:
        # An answer to each would overflow the socket's buffer in large transactions.
        last = replace(requests[-1], flags=requests[-1].flags | NLM_F_ACK)
        netlink.execute([_BEGIN, *requests[:-1], last, _END])
