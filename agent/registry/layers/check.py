"""The look through a layer, before anything of it is unpacked."""

from dataclasses import dataclass

from agent.registry.descriptor import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
)
from agent.registry.layers.decompress import Decompressor, Plain
from agent.registry.layers.errors import LayerError
from agent.registry.layers.tarscan import TarScan

__all__ = ["LayerCheck", "LayerError", "LayerFacts"]

_MAYBE_COMPRESSED = (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    LAYER_GZIP,
    LAYER_ZSTD,
)
"""Of these containerd looks at the first bytes; an OCI layer of plain tar must be one."""


def is_plain(media_type: str) -> bool:
    """Whether a layer of that type is taken as it is, however its bytes begin. The same bytes may
    be harmless as a tar file and anything at all as a compressed one."""
    return media_type == LAYER


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What a whole and harmless layer is like.

    ``unpacked_size`` is in bytes: of the tar file, with the holes of sparse files filled.
    ``self_contained``: every entry's folder, and every hard link's target, is an entry before it.
    ``whiteouts``: it removes something of the layers below.
    """

    unpacked_size: int
    self_contained: bool
    whiteouts: bool


class LayerCheck:
    """One layer, fed as it is stored: compressed or not. Blocks: run it in a thread.

    What is wrong comes as ``LayerError``; then there is no use in going on.
    """

    def __init__(self, media_type: str, limit: int) -> None:
        """``limit``: most bytes when unpacked, and as it is stored: some streams are long and hold
        nothing. Raises ``LayerError`` if it is no layer's type."""
        if media_type not in (LAYER, *_MAYBE_COMPRESSED):
            raise LayerError(f"{media_type[:100]!a} is not the type of a layer")
        self._stream = Plain() if is_plain(media_type) else Decompressor()
        self._tar = TarScan(limit)
        self._left = self._limit = limit

    def feed(self, chunk: bytes) -> None:
        """The next bytes, as many as have come."""
        self._left -= len(chunk)
        if self._left < 0:
            raise LayerError(f"more than {self._limit} bytes as it is stored")
        for piece in self._stream.feed(chunk):
            self._tar.feed(piece)

    def finish(self) -> LayerFacts:
        """After the last byte."""
        self._tar.feed(self._stream.finish())
        self._tar.finish()
        contained = self._tar.contained.verdict()
        return LayerFacts(self._tar.unpacked_size, contained, self._tar.whiteouts)
