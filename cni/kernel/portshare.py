"""Answers at a well-known port of a local address without occupying it.

A program that listens on port 80 of all addresses could not start beside a listener on port 80 of
one of them. So ours listens on another port, and the port in each packet to or from it is rewritten
on its way out: no connection tracking, no NAT, and nothing that anybody else's packet meets but two
comparisons. Both directions pass the output hook, as both ends are in the namespace.

Used for the task metadata endpoint. Run it in the namespace concerned (`NamespaceThread.call`).

References: linux/netfilter/nf_tables.h; nft(8), "payload statement".
"""

import errno
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from cni.kernel import loopback, nfnetlink
from cni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkError,
    Request,
    attribute,
    nested,
    tolerating,
)

_IPV4: Final = 2
_NLM_F_APPEND: Final = 0x800
_NEWTABLE: Final = 0
_DELTABLE: Final = 2
_NEWCHAIN: Final = 3
_NEWRULE: Final = 6

_TABLE_NAME: Final = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_LIST_ELEM, _EXPR_NAME, _EXPR_DATA = 1, 1, 2
_DATA_VALUE: Final = 1

_LOCAL_OUT: Final = 3
_BEFORE_CONNTRACK: Final = -400
_CHAIN: Final = b"output\0"
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_SOURCE, _DESTINATION = 12, 16
"""Offsets of the addresses in an IPv4 header."""
_SOURCE_PORT, _DESTINATION_PORT = 0, 2
_TCP_CHECKSUM: Final = 16
_INET_CHECKSUM: Final = 1
_META_L4PROTO: Final = 16
_REGISTER: Final = 1


def listen(address: IPv4Address, port: int, behind: int, table: str) -> socket.socket:
    """Return a listening socket that answers at `port`, being on port `behind`.

    `table` names the nftables table (family ip) for it; one that is there already is kept.
    """
    listener = loopback.listen(address, behind)
    try:
        _make_table(table, address, port, behind)
    except OSError:
        listener.close()
        raise
    return listener


def restore(address: IPv4Address, port: int, behind: int, table: str) -> None:
    """Make sure that a listener from `listen` is still reached: of the address and the table."""
    loopback.ensure_address(address)
    _make_table(table, address, port, behind)


def withdraw(address: IPv4Address, table: str) -> None:
    """Take away the table and the address; for a namespace that lives on. Either may be gone."""
    _remove_table(table)
    loopback.drop_address(address)


def withdraw_if_there(address: IPv4Address, table: str) -> bool:
    """The same, if the table is there: else the address may be another agent's. Return whether."""
    there = _remove_table(table)
    if there:
        loopback.drop_address(address)
    return there


def _remove_table(table: str) -> bool:
    """Take away the table; return whether it was there."""
    name = attribute(_TABLE_NAME, table.encode() + b"\0")
    delete = Request(
        f"delete table {table}", nfnetlink.kind(_DELTABLE), 0, nfnetlink.header(_IPV4) + name
    )
    with nfnetlink.open_socket() as rules:
        try:
            nfnetlink.transact(rules, [delete])
        except NetlinkError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
    return True


def _make_table(name: str, address: IPv4Address, port: int, behind: int) -> None:
    with nfnetlink.open_socket() as rules, tolerating(errno.EEXIST):
        nfnetlink.transact(rules, _table(name, address, port, behind))


def _table(name: str, address: IPv4Address, port: int, behind: int) -> list[Request]:
    table = name.encode() + b"\0"
    chain = attribute(_CHAIN_TABLE, table) + attribute(_CHAIN_NAME, _CHAIN)
    hook = _number(_HOOK_NUMBER, _LOCAL_OUT) + _number(_HOOK_PRIORITY, _BEFORE_CONNTRACK)
    chain += nested(_CHAIN_HOOK, hook) + attribute(_CHAIN_TYPE, b"filter\0")
    new = NLM_F_CREATE | NLM_F_EXCL
    return [
        _request(f"add table {name}", _NEWTABLE, new, attribute(_TABLE_NAME, table)),
        _request(f"add chain to {name}", _NEWCHAIN, new, chain),
        _rule(table, address, _DESTINATION, _DESTINATION_PORT, port, behind),
        _rule(table, address, _SOURCE, _SOURCE_PORT, behind, port),
    ]


def _rule(
    table: bytes, address: IPv4Address, address_at: int, port_at: int, old: int, new: int
) -> Request:
    """tcp packets with `address` and port `old` at these offsets get port `new` there."""
    port = _TRANSPORT_HEADER, port_at, 2
    expressions = (
        *_matching(_load(_NETWORK_HEADER, address_at, 4), address.packed),
        *_matching(_meta(), bytes((socket.IPPROTO_TCP,))),
        *_matching(_load(*port), struct.pack("!H", old)),
        _immediate(struct.pack("!H", new)),
        _write(*port),
    )
    body = attribute(_RULE_TABLE, table) + attribute(_RULE_CHAIN, _CHAIN)
    body += nested(_RULE_EXPRESSIONS, b"".join(nested(_LIST_ELEM, each) for each in expressions))
    return _request(f"rewrite {old} to {new}", _NEWRULE, NLM_F_CREATE | _NLM_F_APPEND, body)


def _request(what: str, message: int, flags: int, body: bytes) -> Request:
    return Request(what, nfnetlink.kind(message), flags, nfnetlink.header(_IPV4) + body)


def _matching(load: bytes, value: bytes) -> tuple[bytes, bytes]:
    compare = _number(1, _REGISTER) + _number(2, 0) + _data(3, value)
    return load, _expression("cmp", compare)


def _load(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, _REGISTER) + _place(base, offset, length))


def _write(base: int, offset: int, length: int) -> bytes:
    checksum = _number(6, _INET_CHECKSUM) + _number(7, _TCP_CHECKSUM)
    return _expression("payload", _place(base, offset, length) + _number(5, _REGISTER) + checksum)


def _place(base: int, offset: int, length: int) -> bytes:
    return _number(2, base) + _number(3, offset) + _number(4, length)


def _meta() -> bytes:
    return _expression("meta", _number(1, _REGISTER) + _number(2, _META_L4PROTO))


def _immediate(value: bytes) -> bytes:
    return _expression("immediate", _number(1, _REGISTER) + _data(2, value))


def _expression(name: str, data: bytes) -> bytes:
    return attribute(_EXPR_NAME, name.encode() + b"\0") + nested(_EXPR_DATA, data)


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(_DATA_VALUE, value))


def _number(kind: int, value: int) -> bytes:
    """An attribute with a 32-bit number in network byte order, as nftables has them."""
    return attribute(kind, struct.pack("!i", value))
