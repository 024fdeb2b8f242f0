"""Headers of tar files: one block of 512 bytes, in any of the formats that Go's archive/tar reads.

Fields and formats: POSIX.1-2001 (pax), GNU tar ("Basic Tar Format"), star(5), V7.
"""

import zlib
from typing import NamedTuple

from agent.registry.layers.errors import LayerError

BLOCK = 512

REGULAR = b"0"
REGULAR_V7 = b"\0"
HARD_LINK = b"1"
SYMLINK = b"2"
DEVICES = frozenset((b"3", b"4"))
DIRECTORY = b"5"
FIFO = b"6"
LONG_NAME = b"L"
LONG_LINK = b"K"
PAX = b"x"
PAX_GLOBAL = b"g"

NO_CONTENT = frozenset((HARD_LINK, SYMLINK, DIRECTORY, FIFO)) | DEVICES
"""Nothing follows these headers, whatever size they say."""

_USTAR = b"ustar\0"
_GNU = b"ustar  \0"
_STAR = b"tar\0"
_HALF = BLOCK // 2


class Header(NamedTuple):
    """What matters here of a header. Names are bytes: they need not be text."""

    kind: bytes
    name: bytes
    link: bytes
    size: int


def parse_header(block: bytes) -> Header:
    """The header in a block that is not all zeros. Raises ``LayerError``."""
    _check_sum(block)
    name = block[:100].partition(b"\0")[0]
    prefix = _prefix(block)
    if prefix:
        name = prefix + b"/" + name
    size = number(block[124:136])
    if size < 0:
        raise LayerError("a tar header with a size below zero")
    return Header(block[156:157], name, block[157:257].partition(b"\0")[0], size)


def number(text: bytes) -> int:
    """Octal digits, or two's complement after a first bit that is set. Raises ``LayerError``."""
    if text[0] & 0x80:
        bits = 8 * len(text) - 1
        value = int.from_bytes(text, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if value >> (bits - 1) else value
    digits = text.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise LayerError("a tar header with a number that is none")
    return int(digits, 8)


def _check_sum(block: bytes) -> None:
    """Of all bytes, the field itself taken as spaces; old tars add them up as signed ones."""
    told = number(block[148:156])
    around = block[:148] + b"        " + block[156:]
    # Adler-32 starts with the plain sum plus one, exact as long as that is below 65521.
    found = (zlib.adler32(around[:_HALF]) & 0xFFFF) + (zlib.adler32(around[_HALF:]) & 0xFFFF) - 2
    if told != found and told != sum(byte - 256 if byte > 127 else byte for byte in around):
        raise LayerError("not a tar file, or a damaged one: the sum of a header is wrong")


def _prefix(block: bytes) -> bytes:
    """What goes before the name, with a slash between."""
    if block.startswith(_USTAR, 257):
        end = 476 if block.endswith(_STAR) else 500
        return block[345:end].partition(b"\0")[0]
    if block.startswith(_GNU, 257) and block[345:369].strip(b" \0"):
        return _misplaced_prefix(block)
    return b""


def _misplaced_prefix(block: bytes) -> bytes:
    """GNU has two times where others have the prefix; old versions of Go wrote one all the same."""
    try:
        for field in (block[345:357], block[357:369]):
            if field[0]:
                number(field)
    except LayerError:
        prefix = block[345:500].partition(b"\0")[0]
        return prefix if prefix.isascii() else b""
    return b""
