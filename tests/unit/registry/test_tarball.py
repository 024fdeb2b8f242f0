import gzip
import io
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from agent.registry.archives import tarball
from agent.registry.archives.tarball import ArchiveError, Tarball
from tests.unit.registry.tars import link, tar

PACKERS = [gzip.compress, zstandard.ZstdCompressor().compress]


def content(file: io.BytesIO, name: str) -> bytes:
    with closing(Tarball(file)) as archive:
        return b"".join(archive.chunks(name))


def test_members_are_found_by_name() -> None:
    archive = Tarball(tar({"./a/b": b"one", "c": b"two"}))
    assert "a/b" in archive
    assert "./c" in archive
    assert "a" not in archive
    assert (archive.size("a/b"), b"".join(archive.chunks("a/b"))) == (3, b"one")


def test_large_members_come_in_parts() -> None:
    data = bytes(range(256)) * 4096
    chunks = list(Tarball(tar({"a": data})).chunks("a"))
    assert len(chunks) > 1
    assert b"".join(chunks) == data


@pytest.mark.parametrize("pack", PACKERS)
def test_a_compressed_archive_is_read_alike(pack: Callable[[bytes], bytes]) -> None:
    assert content(io.BytesIO(pack(tar({"a": b"one"}).read())), "a") == b"one"


def test_links_lead_to_members_of_the_archive() -> None:
    entries = tar({"x/1": b"one", "y/2": link("y/2", "../x/1"), "3": link("3", "y/2", b"1")})
    assert content(entries, "3") == b"one"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "nowhere", "."])
def test_links_never_leave_the_archive(target: str) -> None:
    archive = Tarball(tar({"a": link("a", target)}))
    assert "a" not in archive
    with pytest.raises(ArchiveError, match="not a file in the archive"):
        archive.size("a")


def test_a_circle_of_links_is_refused() -> None:
    archive = Tarball(tar({"a": link("a", "b"), "b": link("b", "a")}))
    with pytest.raises(ArchiveError, match="chain of links"):
        archive.size("a")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_special_files_are_no_members(kind: bytes) -> None:
    assert "a" not in Tarball(tar({"a": link("a", "", kind)}))


@pytest.mark.parametrize("data", [b"", b"hello", b"x" * 2000])
def test_what_is_no_tar_file_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError, match="not a tar file"):
        Tarball(io.BytesIO(data))


def test_a_truncated_archive_is_refused() -> None:
    whole = tar({"a": b"x" * 5000}).read()
    with pytest.raises(ArchiveError, match="damaged"):
        Tarball(io.BytesIO(whole[:3000]))


@pytest.mark.parametrize("pack", PACKERS)
def test_a_truncated_stream_is_refused(pack: Callable[[bytes], bytes]) -> None:
    whole = pack(tar({"a": bytes(range(256)) * 40}).read())
    with pytest.raises(ArchiveError, match="stream ends too early"):
        Tarball(io.BytesIO(whole[:-20]))


@pytest.mark.parametrize("pack", PACKERS)
def test_a_damaged_stream_is_refused(pack: Callable[[bytes], bytes]) -> None:
    whole = pack(tar({"a": bytes(range(256)) * 40}).read())
    with pytest.raises(ArchiveError, match="stream is damaged"):
        Tarball(io.BytesIO(whole + b"and more than that"))


def test_a_huge_extended_header_is_refused() -> None:
    info = tarfile.TarInfo("a")
    info.pax_headers = {"comment": "x" * (2 * tarball.MAX_HEADER)}
    with pytest.raises(ArchiveError, match="a header of"):
        Tarball(tar({"a": info}))


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_MEMBERS", 3)
    with pytest.raises(ArchiveError, match="more than 3 files"):
        Tarball(tar({str(number): b"" for number in range(4)}))


def test_names_of_all_too_many_characters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_NAMES", 1000)
    Tarball(tar({"a" * 500: b"", "b" * 500: b""}))
    with pytest.raises(ArchiveError, match="names of more than 1000 characters"):
        Tarball(tar({"a" * 500: b"", "b" * 501: b""}))
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, "b" * 1000
    with pytest.raises(ArchiveError, match="names of more than 1000 characters"):
        Tarball(tar({"a": link}))


@pytest.mark.parametrize("pack", PACKERS)
def test_a_compressed_archive_is_unpacked_where_it_is_to_be(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def made(dir: Path | None = None) -> BinaryIO:
        folders.append(dir)
        return io.BytesIO()

    monkeypatch.setattr(tempfile, "TemporaryFile", made)
    packed = io.BytesIO(pack(tar({"a": b"x"}).getvalue()))
    assert "a" in Tarball(packed, tmp_path)
    assert folders == [tmp_path]


@pytest.mark.parametrize("pack", PACKERS)
def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]) -> None:
    monkeypatch.setattr(tarball, "MAX_UNPACKED", 10_000)
    with pytest.raises(ArchiveError, match="when unpacked"):
        Tarball(io.BytesIO(pack(bytes(300_000))))


def test_a_gzipped_file_of_something_else_is_refused() -> None:
    with pytest.raises(ArchiveError, match="not a tar file"):
        Tarball(io.BytesIO(gzip.compress(b"hello")))


def test_a_file_that_shrinks_is_noticed() -> None:
    file = tar({"a": b"x" * 5000})
    archive = Tarball(file)
    file.truncate(2000)
    with pytest.raises(ArchiveError, match="the archive ends after"):
        list(archive.chunks("a"))
