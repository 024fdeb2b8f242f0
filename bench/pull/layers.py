"""Layers that look like those of real images: the same numbers give the same bytes, always.

Half text with a vocabulary, half binaries with passages that come again; gzip makes two fifths of
them. Sizes of files spread as they do in a distribution: many small ones, few big ones.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import string
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LEVEL = 6
"""What Go's gzip, and so most builders, compress with."""
MTIME = 1_700_000_000
_POOL = 4 << 20
_WORDS = 1500
_LINE = 2000
_SPREAD = 1.7
_IN_A_FOLDER = 40
_FAR = 30_000
"""Passages come again within gzip's window of 32 KiB."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A layer of ``files`` files with ``size`` bytes in all. Another ``seed``: other bytes."""

    files: int
    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Made:
    """A compressed layer in a file. ``diff_id`` is the digest of what is in it."""

    path: Path
    digest: str
    size: int
    diff_id: str


def make(shape: Shape, path: Path) -> Made:
    """The layer is in the new file ``path``. Blocks: some tenths of a second for 10 MB."""
    with path.open("wb") as out:
        return compressed(_tar(shape), out, path)


def compressed(parts: Iterator[bytes], out: BinaryIO, path: Path) -> Made:
    """What ``parts`` give goes to ``out``, which is the file ``path``, compressed."""
    inside, outside = hashlib.sha256(), hashlib.sha256()
    compressor = zlib.compressobj(LEVEL, wbits=31)
    size = 0
    for part in itertools.chain(parts, [None]):
        if part is None:
            squeezed = compressor.flush()
        else:
            inside.update(part)
            squeezed = compressor.compress(part)
        outside.update(squeezed)
        size += out.write(squeezed)
    return Made(path, f"sha256:{outside.hexdigest()}", size, f"sha256:{inside.hexdigest()}")


def _tar(shape: Shape) -> Iterator[bytes]:
    source = random.Random(shape.seed)
    pools = (_text(source), _binary(source))
    yield _directory("usr") + _directory("usr/lib")
    folder = ""
    for number, size in enumerate(_sizes(shape, source)):
        if number % _IN_A_FOLDER == 0:
            folder = f"usr/lib/package-{shape.seed}-{number // _IN_A_FOLDER}"
            yield _directory(folder)
        yield from _file(f"{folder}/{_name(source)}-{number}", size, source, pools)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _sizes(shape: Shape, source: random.Random) -> list[int]:
    weights = [source.lognormvariate(0, _SPREAD) for _ in range(shape.files)]
    scale = shape.size / sum(weights)
    return [int(each * scale) for each in weights]


def _file(
    name: str, size: int, source: random.Random, pools: tuple[bytes, bytes]
) -> Iterator[bytes]:
    kind = source.randrange(2)
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, (0o644, 0o755)[kind], MTIME
    yield entry.tobuf(tarfile.USTAR_FORMAT)
    left = size
    while left > 0:
        begin = source.randrange(_POOL // 2)
        part = pools[kind][begin : begin + left]
        left -= len(part)
        yield part
    yield bytes(-size % tarfile.BLOCKSIZE)


def _directory(name: str) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, MTIME
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _name(source: random.Random) -> str:
    return "".join(source.choices(string.ascii_lowercase, k=source.randint(3, 12)))


def _text(source: random.Random) -> bytes:
    words = [_name(source) for _ in range(_WORDS)]
    often = list(itertools.accumulate(1 / (rank + 3) for rank in range(_WORDS)))
    lines: list[str] = []
    size = 0
    while size < _POOL:
        line = " ".join(source.choices(words, cum_weights=often, k=_LINE))
        lines.append(line)
        size += len(line) + 1
    return "\n".join(lines).encode()[:_POOL]


def _binary(source: random.Random) -> bytes:
    pool = bytearray(source.randbytes(_LINE))
    while len(pool) < _POOL:
        pool += source.randbytes(source.randrange(4, 16))
        begin = len(pool) - source.randrange(100, min(len(pool), _FAR))
        pool += pool[begin : begin + source.randrange(6, 56)]
    return bytes(pool[:_POOL])
