"""Layers for tests, described by what is in them; the same description gives the same bytes.

Nothing is checked here: names may leave the root and links may point anywhere, as in a layer that
somebody made on purpose.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

import zstandard

from agent.registry import hello
from agent.registry.descriptor import LAYER, LAYER_GZIP, Descriptor

LAYER_ZSTD = f"{LAYER}+zstd"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"
MTIME = 1_600_000_000
BLOCK = tarfile.BLKTYPE

Compression = Literal["", "gzip", "zstd"]

_LEVELS = {"gzip": 6, "zstd": 3}
_PART = 1 << 20
_BOMB_PART = 64 << 20
_MEDIA_TYPES: dict[tuple[Compression, bool], str] = {
    ("", False): LAYER,
    ("gzip", False): LAYER_GZIP,
    ("zstd", False): LAYER_ZSTD,
    ("", True): DOCKER_LAYER,
    ("gzip", True): DOCKER_LAYER_GZIP,
    ("zstd", True): f"{DOCKER_LAYER}.zstd",  # what Docker's own tools say
}


class Content(Protocol):
    """The bytes of a file, ``size`` in all, as often as they are asked for."""

    @property
    def size(self) -> int: ...

    def parts(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Zeros:
    """Nothing but zero bytes."""

    size: int

    def parts(self) -> Iterator[bytes]:
        part = bytes(_PART)
        for done in range(0, self.size, _PART):
            yield part[: self.size - done]


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that can't be compressed, others for each seed."""

    size: int
    seed: int = 0

    def parts(self) -> Iterator[bytes]:
        source = random.Random(self.seed)
        for done in range(0, self.size, _PART):
            yield source.randbytes(min(_PART, self.size - done))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tar file. ``kind``: a type of ``tarfile``. ``pax``: more records."""

    name: str
    kind: bytes = tarfile.REGTYPE
    content: bytes | Content = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""
    mtime: float = MTIME
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)

    def owned(self, uid: int, gid: int) -> Entry:
        """The same of another user and group."""
        return replace(self, uid=uid, gid=gid)

    def having(self, **xattrs: bytes) -> Entry:
        """The same with extended attributes; ``__`` in their names stands for a dot."""
        named = {name.replace("__", "."): value for name, value in xattrs.items()}
        return replace(self, xattrs={**self.xattrs, **named})

    @property
    def header(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name)
        info.type, info.mode, info.linkname = self.kind, self.mode, self.link
        info.uid, info.gid, info.mtime = self.uid, self.gid, self.mtime
        info.devmajor, info.devminor = self.device
        size = len(self.content) if isinstance(self.content, bytes) else self.content.size
        info.size = size if self.kind == tarfile.REGTYPE else 0
        xattrs = {
            f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
            for name, value in self.xattrs.items()
        }
        info.pax_headers = {**xattrs, **self.pax}
        return info

    def parts(self) -> Iterator[bytes]:
        """The file's bytes."""
        if isinstance(self.content, bytes):
            yield self.content
        else:
            yield from self.content.parts()


def file(name: str, content: bytes | Content = b"", mode: int = 0o644) -> Entry:
    return Entry(name, content=content, mode=mode)


def directory(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, tarfile.SYMTYPE, link=target, mode=0o777)


def hard_link(name: str, target: str) -> Entry:
    """``target`` is the name of an entry before it, of this layer or of one below."""
    return Entry(name, tarfile.LNKTYPE, link=target)


def device(name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE) -> Entry:
    return Entry(name, kind, mode=0o600, device=(major, minor))


def fifo(name: str) -> Entry:
    return Entry(name, tarfile.FIFOTYPE)


def whiteout(name: str) -> Entry:
    """What layers below have of this name is gone."""
    parent, slash, last = name.rpartition("/")
    return Entry(f"{parent}{slash}.wh.{last}")


def opaque(name: str) -> Entry:
    """The directory shows nothing of the layers below."""
    return Entry(f"{name}/.wh..wh..opq")


def sparse(name: str, size: int, data: Mapping[int, bytes]) -> Entry:
    """A file of ``size`` bytes with ``data`` at these offsets and holes between (GNU, PAX 1.0)."""
    spots = sorted(data.items())
    numbers = [len(spots), *(each for offset, part in spots for each in (offset, len(part)))]
    places = "".join(f"{each}\n" for each in numbers).encode()
    content = places + bytes(-len(places) % tarfile.BLOCKSIZE) + b"".join(part for _, part in spots)
    told = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    pax = {f"GNU.sparse.{key}": value for key, value in told.items()}
    parent, slash, last = name.rpartition("/")
    return Entry(f"{parent}{slash}GNUSparseFile.0/{last}", content=content, pax=pax)


@dataclass(frozen=True)
class Blob:
    """A layer as a registry has it. ``diff_id`` is the digest of its tar file."""

    media_type: str
    data: bytes
    diff_id: str

    @cached_property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, digest_of(self.data), len(self.data))


@dataclass(frozen=True, slots=True)
class Layer:
    """Entries in order. ``docker``: under Docker's media types, not OCI's."""

    entries: tuple[Entry, ...]
    compression: Compression = "gzip"
    docker: bool = False

    def blob(self) -> Blob:
        """It is made anew with each call."""
        out, digest = io.BytesIO(), hashlib.sha256()
        compressor = _compressor(self.compression)
        for part in _tar(self.entries):
            digest.update(part)
            out.write(compressor.compress(part))
        out.write(compressor.flush())
        media_type = _MEDIA_TYPES[self.compression, self.docker]
        return Blob(media_type, out.getvalue(), f"sha256:{digest.hexdigest()}")


def layer(*entries: Entry, compression: Compression = "gzip", docker: bool = False) -> Layer:
    return Layer(entries, compression, docker)


def busybox(compression: Compression = "gzip", *, docker: bool = False) -> Layer:
    """A small userland that runs: the host's static busybox, as in the hello image."""
    entries = {
        **{name: directory(name, mode) for name, mode in hello.DIRECTORIES.items()},
        **{name: symlink(name, target) for name, target in hello.LINKS.items()},
        **{name: file(name, text.encode()) for name, text in hello.FILES.items()},
        "bin/busybox": file("bin/busybox", hello.find_busybox().read_bytes(), 0o755),
    }
    return Layer(tuple(entries[name] for name in sorted(entries)), compression, docker)


def bomb(size: int, compression: Literal["gzip", "zstd"] = "gzip") -> Blob:
    """A layer with one file of so many zeros (a multiple of 64 MiB), made in no time: the same
    compressed part again and again. Its diff id is not the right one."""
    header = file("bomb", Zeros(size)).header.tobuf(tarfile.PAX_FORMAT)
    zeros = _compressed(bytes(_BOMB_PART), compression)
    end = _compressed(bytes(2 * tarfile.BLOCKSIZE), compression)
    data = _compressed(header, compression) + zeros * (size // _BOMB_PART) + end
    return Blob(_MEDIA_TYPES[compression, False], data, digest_of(header))


def two_faced(hidden: bytes) -> tuple[Blob, Blob]:
    """The same bytes as a tar file with one small file, and as a gzip stream of ``hidden``.

    The header of the tar file is that of the stream, most of it in a field for extensions.
    """
    name = b"\x1f\x8b\x08\x04------\xf4\x01"  # 500 more bytes belong to the header
    packed = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    content = packed.compress(hidden) + packed.flush()
    content += struct.pack("<II", zlib.crc32(hidden), len(hidden) & 0xFFFFFFFF)
    member = tarfile.TarInfo(name.decode("latin-1"))
    member.size = len(content)
    data = member.tobuf(tarfile.USTAR_FORMAT, "latin-1") + content
    return Blob(LAYER, data, digest_of(data)), Blob(LAYER_GZIP, data, digest_of(hidden))


def wide_window(window_log: int = 31) -> Blob:
    """A zstd layer whose frame wants a window of 2 ** ``window_log`` bytes (RFC 8878, 3.1.1)."""
    window = (window_log - 10) << 3
    last_block_of_one_byte_repeated = (1 | 1 << 1 | 1024 << 3).to_bytes(3, "little")
    start = struct.pack("<IBB", 0xFD2FB528, 0, window)
    data = start + last_block_of_one_byte_repeated + b"\0"
    return Blob(LAYER_ZSTD, data, digest_of(bytes(1024)))


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(compression: Compression) -> _Compressor:
    match compression:
        case "gzip":
            return zlib.compressobj(_LEVELS["gzip"], wbits=31)
        case "zstd":
            return zstandard.ZstdCompressor(_LEVELS["zstd"]).compressobj()
        case "":
            return _Plain()


def _compressed(data: bytes, compression: Literal["gzip", "zstd"]) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor(_LEVELS["zstd"]).compress(data)


def _tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        header = entry.header
        yield header.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
        if header.size:
            yield from entry.parts()
            yield bytes(-header.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
