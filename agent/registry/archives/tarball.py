"""The members of a tar file, by name; it may be compressed with gzip or zstd. For ``archive``.

The file may be hostile: nothing is ever unpacked, names are only looked up, no read is larger than
the caller allows, and anything but a plain file is no member. Links are followed inside the
archive only, because ``docker save`` writes a layer that occurs twice as a link to the first.
"""

import posixpath
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from agent.registry.layers.decompress import Decompressor, compression
from agent.registry.layers.errors import LayerError

CHUNK = 256 * 1024
MAX_HEADER = 1024 * 1024
"""Largest extended header; genuine ones hold a name or two."""
MAX_UNPACKED = 64 * 1024**3
"""A compressed archive that grows beyond this is meant to fill the disk."""
MAX_MEMBERS = 100_000
MAX_NAMES = 16 * 1024 * 1024
"""Characters of all names, which are kept: compressed, they may be far longer than the archive."""
MAX_LINKS = 8


class ArchiveError(Exception):
    """The archive is damaged, hostile or not an image archive; the text says what and where."""


class _Bounded:
    """A file for ``tarfile``, which reads extended headers whole, however large."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ArchiveError(f"a header of {size} bytes at offset {self._file.tell()}")
        return self._file.read(size)


class Tarball:
    """An index of a tar file. One member at a time is read: they share the file's position."""

    def __init__(self, file: BinaryIO, folder: Path | None = None) -> None:
        """Reads the headers of all members; a compressed file is first unpacked to a nameless one
        in ``folder``, or else in that for temporary files, until ``close``.

        Raises ``ArchiveError``. The file stays the caller's.
        """
        self._unpacked = _unpacked(file, folder)
        self._file = self._unpacked or file
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._left = MAX_NAMES
        try:
            for member in _members(self._file):
                self._index(member)
        except ArchiveError:
            self.close()
            raise

    def close(self) -> None:
        """Give back the space that a compressed archive took."""
        if self._unpacked:
            self._unpacked.close()

    def __contains__(self, name: str) -> bool:
        return self._resolve(name) in self._files

    def size(self, name: str) -> int:
        """Bytes. Raises ``ArchiveError`` if there is no such file."""
        return self._place(name)[1]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file. Raises ``ArchiveError``."""
        start, size = self._place(name)
        done = 0
        while done < size:
            self._file.seek(start + done)
            chunk = self._file.read(min(CHUNK, size - done))
            if not chunk:
                raise ArchiveError(f"{name}: the archive ends after {done} of {size} bytes")
            done += len(chunk)
            yield chunk

    def _index(self, member: tarfile.TarInfo) -> None:
        self._left -= len(member.name) + len(member.linkname)
        if self._left < 0:
            raise ArchiveError(f"names of more than {MAX_NAMES} characters in all")
        name = posixpath.normpath(member.name)
        self._files.pop(name, None)
        self._links.pop(name, None)
        if member.isreg() and not member.issparse():
            self._files[name] = (member.offset_data, member.size)
        elif member.issym():
            self._links[name] = posixpath.join(posixpath.dirname(name), member.linkname)
        elif member.islnk():
            self._links[name] = member.linkname

    def _place(self, name: str) -> tuple[int, int]:
        place = self._files.get(self._resolve(name))
        if place is None:
            raise ArchiveError(f"{name}: not a file in the archive")
        return place

    def _resolve(self, name: str) -> str:
        name = posixpath.normpath(name)
        for _ in range(MAX_LINKS):
            if name not in self._links:
                return name
            name = posixpath.normpath(self._links[name])
        raise ArchiveError(f"{name}: a chain of links")


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    file.seek(0)
    try:
        with tarfile.open(fileobj=_Bounded(file), mode="r:") as tar:  # type: ignore[call-overload]
            for count, member in enumerate(tar):
                if count == MAX_MEMBERS:
                    raise ArchiveError(f"more than {MAX_MEMBERS} files")
                tar.members.clear()  # it keeps every header it has seen
                yield member
    except (tarfile.TarError, EOFError, ValueError, OverflowError, OSError) as error:
        raise ArchiveError(f"not a tar file, or a damaged one: {error}") from error


def _unpacked(file: BinaryIO, folder: Path | None) -> BinaryIO | None:
    """The tar file inside a compressed one, to be closed; None when ``file`` is not compressed."""
    file.seek(0)
    compressed = compression(file.read(CHUNK))
    file.seek(0)
    if not compressed:
        return None
    unpacked: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as the index lives
    try:
        _unpack(file, unpacked)
    except LayerError as error:
        unpacked.close()
        raise ArchiveError(str(error)) from error
    except (ArchiveError, OSError):
        unpacked.close()
        raise
    return unpacked


def _unpack(file: BinaryIO, to: BinaryIO) -> None:
    stream = Decompressor()
    while chunk := file.read(CHUNK):
        for piece in stream.feed(chunk):
            to.write(piece)
            if to.tell() > MAX_UNPACKED:
                raise ArchiveError(f"more than {MAX_UNPACKED} bytes when unpacked")
    stream.finish()
