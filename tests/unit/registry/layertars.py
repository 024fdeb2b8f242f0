"""Layers for tests: tar headers field by field, so that they can be wrong in one of them."""

import io
import tarfile
from collections.abc import Iterable

from agent.registry.descriptor import LAYER_GZIP
from agent.registry.layers.check import LayerCheck, LayerFacts

LIMIT = 1 << 30
END = bytes(1024)


def member(
    name: str | bytes,
    kind: bytes = b"0",
    data: bytes = b"",
    link: str | bytes = b"",
    magic: bytes = b"ustar\x0000",
    **fields: bytes,
) -> bytes:
    """A header and its content. Fields: ``size``, ``prefix``, ``sum``, ``gnu`` (from 345 on)."""
    size = fields.get("size", b"%011o\0" % len(data))
    block = b"".join(
        [
            _bytes(name).ljust(100, b"\0"),
            b"0000755\0" + b"0000000\0" * 2,
            size,
            b"00000000000\0",
            b" " * 8,
            kind,
            _bytes(link).ljust(100, b"\0"),
            magic,
            bytes(64 + 16),
            fields.get("prefix", b"").ljust(155, b"\0"),
        ]
    ).ljust(512, b"\0")
    summed = fields.get("sum", b"%06o\0 " % sum(block))
    return block[:148] + summed + block[156:] + padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[str, bytes], kind: bytes = b"x", name: str = "pax") -> bytes:
    return member(name, kind, b"".join(record(*each) for each in records))


def record(key: str, value: bytes) -> bytes:
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def python_tar(members: Iterable[tarfile.TarInfo], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """What Python's tarfile writes; contents are zeros."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for each in members:
            tar.addfile(each, io.BytesIO(bytes(each.size)))
    return out.getvalue()


def look(*parts: bytes, media_type: str = LAYER_GZIP, limit: int = LIMIT) -> LayerFacts:
    check = LayerCheck(media_type, limit)
    for part in parts:
        check.feed(part)
    return check.finish()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
