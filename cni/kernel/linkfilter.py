"""The kernel's filter for messages about links: a program that drops those of containers' veths.

Classic BPF can find a netlink attribute (linux/filter.h: SKF_AD_NLATTR), so the kernel decides
before it queues a message and wakes anybody. The program drops what is of kind veth and has a name
that begins with one of some prefixes, and what is about a bridge's port rather than about a link
(family AF_BRIDGE: a port that leaves its bridge is told as the deletion of a link).

References: bpf(2), linux/filter.h, linux/rtnetlink.h.
"""

import array
import socket
import struct
from collections.abc import Collection
from typing import Final

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("@HBBI")  # operation, skip if true, skip if false, operand
_PROGRAM: Final = struct.Struct("@HP")  # instructions, their address

_LOAD: Final = 0x00  # the operand
_LOAD_X: Final = 0x01
_LOAD_BYTE: Final = 0x30  # of the message, at the operand
_LOAD_WORD: Final = 0x20
_LOAD_WORD_AT_X: Final = 0x40
_TO_X: Final = 0x07
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06

_ATTRIBUTE: Final = 0xFFFFF000 + 12  # offset of the attribute of type X, from offset A on; or 0
_NESTED: Final = 0xFFFFF000 + 16  # the same inside the attribute at offset A

_FAMILY_AT: Final = 16
_ATTRIBUTES_AT: Final = 32
_VALUE: Final = 4
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_ALL: Final = 0xFFFFFFFF

_Instruction = tuple[int, str, str, int]
"""Operation, label to go on at if true and if false (empty: the next), operand."""


def attach(sock: socket.socket, prefixes: Collection[bytes]) -> None:
    """Hide the veths whose names begin with one of these, of 1 to 4 bytes. Raises OSError."""
    code = array.array("B", _assembled(_program(prefixes)))
    address, length = code.buffer_info()
    program = _PROGRAM.pack(length // _INSTRUCTION.size, address)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _program(prefixes: Collection[bytes]) -> list[_Instruction]:
    program = [
        (_LOAD_BYTE, "", "", _FAMILY_AT),
        (_IF_EQUAL, "", "drop", socket.AF_UNSPEC),
        (_LOAD, "", "", _ATTRIBUTES_AT),
        (_LOAD_X, "", "", _IFLA_LINKINFO),
        (_LOAD_WORD, "", "", _ATTRIBUTE),
        (_IF_EQUAL, "keep", "", 0),
        (_LOAD_X, "", "", _IFLA_INFO_KIND),
        (_LOAD_WORD, "", "", _NESTED),
        (_IF_EQUAL, "keep", "", 0),
        (_TO_X, "", "", 0),
        (_LOAD_WORD_AT_X, "", "", _VALUE),
        (_IF_EQUAL, "", "keep", int.from_bytes(b"veth", "big")),
        (_LOAD, "", "", _ATTRIBUTES_AT),
        (_LOAD_X, "", "", _IFLA_IFNAME),
        (_LOAD_WORD, "", "", _ATTRIBUTE),
        (_IF_EQUAL, "keep", "", 0),
        (_TO_X, "", "", 0),
    ]
    for prefix in prefixes:
        mask = (b"\xff" * len(prefix)).ljust(4, b"\0")
        program += [
            (_LOAD_WORD_AT_X, "", "", _VALUE),
            (_AND, "", "", int.from_bytes(mask, "big")),
            (_IF_EQUAL, "drop", "", int.from_bytes(prefix.ljust(4, b"\0"), "big")),
        ]
    return program


def _assembled(program: list[_Instruction]) -> bytes:
    """The program with its two ends, `keep` and `drop`."""
    ends = {"keep": len(program), "drop": len(program) + 1}
    code = b""
    for at, (operation, true, false, operand) in enumerate(program):
        skips = [ends[label] - at - 1 if label else 0 for label in (true, false)]
        code += _INSTRUCTION.pack(operation, *skips, operand)
    return code + _INSTRUCTION.pack(_RETURN, 0, 0, _ALL) + _INSTRUCTION.pack(_RETURN, 0, 0, 0)
