"""What a compressed stream holds, in pieces: memory stays bounded whatever the stream says.

As containerd does, the first bytes decide on the compression, whatever it was announced as.
"""

from collections.abc import Iterator
from typing import Protocol

from backports import zstd
from isal import igzip_lib

from agent.registry.layers.errors import LayerError

PIECE = 256 * 1024
"""Most bytes that come out at once."""
SLICE = 64 * 1024
"""Most bytes that go in at once: what follows a member of the stream is copied for the next one,
and some streams have a member for every small file."""
MAX_MEMBERS = 1_000_000
"""In one stream: as many as there may be files, for each costs more time than the few bytes that it
takes are worth."""
ZSTD_WINDOW_LOG = 27
"""zstd looks back at most 128 MiB, which is also the memory that it takes: the limit of its own
command line tool."""

_DAMAGED: tuple[type[Exception], ...] = (
    igzip_lib.IsalError,  # type: ignore[assignment]  # its stub calls the class an instance
    zstd.ZstdError,
)
_MAGIC = 4
_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""After a first byte of 0x50 to 0x5f: a frame with data of somebody's own (RFC 8878, 3.1.2)."""


class _Member(Protocol):
    """One member of a gzip stream, one frame of a zstd stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def compression(head: bytes) -> str:
    """gzip, zstd or nothing: what a stream is that begins so, going by its first four bytes."""
    if head.startswith(_GZIP):
        return "gzip"
    skippable = b"\x50" <= head[:1] < b"\x60" and head.startswith(_ZSTD_SKIPPABLE, 1)
    return "zstd" if skippable or head.startswith(_ZSTD) else ""


class Plain:
    """A stream that is no more than it seems."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk."""
        yield chunk

    def finish(self) -> bytes:
        """Nothing is left."""
        return b""


class Decompressor:
    """A stream that is gzip, zstd or neither; it may be one after another of the same kind."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._name = ""
        self._member: _Member | None = None
        self._members = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What is known with one more chunk, of any length. Take all of it before the next call.

        Raises ``LayerError`` for a damaged stream.
        """
        if self._head is not None:
            chunk = self._head + chunk
            if len(chunk) < _MAGIC:
                self._head = chunk
                return
            self._head = None
            self._name = compression(chunk)
        if not self._name:
            yield chunk
            return
        for start in range(0, len(chunk), SLICE):
            yield from self._inflate(chunk[start : start + SLICE])

    def finish(self) -> bytes:
        """No more comes: the last bytes. Raises ``LayerError`` if there should be more."""
        if self._member is not None:
            raise LayerError(f"the {self._name} stream ends too early")
        return self._head or b""

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data or self._member is not None:
            if self._member is None:
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise LayerError(f"a {self._name} stream of more than {MAX_MEMBERS} parts")
                self._member = _gzip_member() if self._name == "gzip" else _zstd_frame()
            try:
                piece = self._member.decompress(data, PIECE)
            except _DAMAGED as error:
                raise LayerError(f"the {self._name} stream is damaged: {error}") from error
            if piece:
                yield piece
            data = b""
            if self._member.eof:
                data = self._member.unused_data
                self._member = None
            elif self._member.needs_input:
                return


def _gzip_member() -> _Member:
    return igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)


def _zstd_frame() -> _Member:
    option = int(zstd.DecompressionParameter.window_log_max)
    return zstd.ZstdDecompressor(options={option: ZSTD_WINDOW_LOG})
