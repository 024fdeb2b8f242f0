"""A look through a tar file that comes in chunks: is it whole, and does it stay in its place?

What Go's archive/tar reads and containerd unpacks is accepted, nothing else. Contents are hopped
over, and nothing is kept but what ``Contained`` remembers.
"""

from dataclasses import dataclass, field

from agent.registry.layers import header as tar
from agent.registry.layers import pax
from agent.registry.layers.contained import Contained
from agent.registry.layers.errors import LayerError
from agent.registry.layers.header import BLOCK, Header, parse_header
from agent.registry.layers.names import below_root, is_whiteout, told

MAX_MEMBERS = 1_000_000
MAX_EXTENDED = 1024 * 1024
"""Bytes of an extended header or a long name: as Go's archive/tar."""
MAX_EXTENSIONS = 8
"""Extended headers of one member."""

_ZEROS = bytes(BLOCK)
_FILES = frozenset((tar.REGULAR, tar.SYMLINK, tar.FIFO)) | tar.DEVICES
_EXTENSIONS = frozenset((tar.LONG_NAME, tar.LONG_LINK, tar.PAX, tar.PAX_GLOBAL))


@dataclass(slots=True)
class _Extensions:
    """What extended headers say about the member that comes after them."""

    count: int = 0
    name: bytes | None = None
    link: bytes | None = None
    records: dict[bytes, bytes] = field(default_factory=dict)


class TarScan:
    """One tar file. ``feed`` and ``finish`` raise ``LayerError``."""

    def __init__(self, limit: int) -> None:
        """At most ``limit`` bytes, the holes of sparse files among them."""
        self.contained = Contained()
        self.whiteouts = False
        self._limit = limit
        self._bytes = 0
        self._position = 0  # bytes up to the end of the last header
        self._holes = 0
        self._members = 0
        self._extensions = _Extensions()
        self._skip = 0  # bytes of contents still to come, filled up to whole blocks
        self._fill = 0  # those of them that only fill up
        self._partial = bytearray()
        self._needed = BLOCK
        self._extending: Header | None = None  # what the next bytes belong to, if not a header
        self._zeros = False
        self._ended = False

    @property
    def unpacked_size(self) -> int:
        """Bytes seen, and those of holes."""
        return self._bytes + self._holes

    def feed(self, data: bytes) -> None:
        """The next bytes. After the end of the archive they are only counted."""
        before = self._bytes
        self._bytes += len(data)
        self._check_limit(self._bytes)
        at, end = 0, len(data)
        while at < end and not self._ended:
            if self._skip:
                hop = min(self._skip, end - at)
                self._skip -= hop
                at += hop
                continue
            took = self._needed - len(self._partial)
            if not self._partial and took <= end - at:
                unit = data[at : at + took]
            else:
                self._partial += data[at : at + took]
                if len(self._partial) < self._needed:
                    return
                unit = bytes(self._partial)
                self._partial.clear()
            at += took
            self._position = before + at
            if self._extending is None:
                self._header(unit)
            else:
                self._extend(self._extending, unit)

    def finish(self) -> None:
        """No more comes. The two blocks of zeros at the end may be missing, and the filling."""
        cut = self._partial or self._extending is not None or self._skip > self._fill
        if self._extensions.count or (cut and not self._ended):
            raise LayerError("the tar file ends too early")

    def _header(self, block: bytes) -> None:
        if block == _ZEROS:
            self._ended = self._zeros
            self._zeros = True
            return
        if self._zeros:
            raise LayerError("a tar file that goes on after a block of zeros")
        found = parse_header(block)
        if found.kind in _EXTENSIONS:
            self._extended(found)
        else:
            self._member(found)

    def _check_limit(self, size: int) -> None:
        if size + self._holes > self._limit:
            raise LayerError(f"more than {self._limit} bytes when unpacked (HOSTLER_LAYER_LIMIT)")

    # Extended headers

    def _extended(self, found: Header) -> None:
        if found.size > MAX_EXTENDED:
            raise LayerError(f"an extended tar header of {found.size} bytes")
        self._extensions.count += 1
        if self._extensions.count > MAX_EXTENSIONS:
            raise LayerError(f"more than {MAX_EXTENSIONS} extended tar headers in a row")
        if found.size:
            self._needed, self._extending = _filled(found.size), found
        else:
            self._extend(found, b"")

    def _extend(self, found: Header, block: bytes) -> None:
        self._needed, self._extending = BLOCK, None
        data = block[: found.size]
        match found.kind:
            case tar.LONG_NAME:
                self._extensions.name = _long(data)
            case tar.LONG_LINK:
                self._extensions.link = _long(data)
            case tar.PAX:
                self._extensions.records = pax.parse_records(data)
            case _:
                # Of no effect on others, but containerd makes the folder that it seems to be in,
                # and Go forgets what was said for the member after it.
                records = pax.parse_records(data)
                self._extensions = _Extensions()
                self._enter(tar.REGULAR, records.get(b"path") or found.name, b"")

    # Members

    def _member(self, found: Header) -> None:
        extensions = self._extensions
        kind, name, link, size = found
        name = extensions.name or extensions.records.get(b"path") or name
        if kind == tar.REGULAR_V7:
            kind = tar.DIRECTORY if name.endswith(b"/") else tar.REGULAR
        logical = size
        if extensions.count:
            self._extensions = _Extensions()
            records = extensions.records
            name = pax.sparse_name(records) or name
            link = extensions.link or records.get(b"linkpath") or link
            size = pax.size_of(records, size)
            logical = pax.unpacked_size(records, size)
        if kind not in tar.NO_CONTENT:
            self._hop(size, logical)
        self._enter(kind, name, link)

    def _hop(self, size: int, logical: int) -> None:
        self._holes += max(0, logical - size)
        self._check_limit(self._position + size)
        self._skip = _filled(size)
        self._fill = self._skip - size

    def _enter(self, kind: bytes, name: bytes, link: bytes) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise LayerError(f"more than {MAX_MEMBERS} files")
        path = below_root(name)
        parent, _, base = path.rpartition(b"/")
        if is_whiteout(base):
            self.whiteouts = True
        if kind == tar.DIRECTORY:
            self.contained.folder(path, parent)
        elif not path:
            raise LayerError(f"{told(name)} is the root of the image, but not a directory")
        elif kind == tar.HARD_LINK:
            self.contained.link(path, parent, below_root(link))
        elif kind in _FILES:
            self.contained.file(path, parent)
        else:
            raise LayerError(f"{told(name)} is of a kind that can't be unpacked: {told(kind)}")


def _long(data: bytes) -> bytes:
    """A name that ends with zeros."""
    return data.rstrip(b"\0")


def _filled(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
