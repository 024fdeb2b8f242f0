"""Layers as they are stored: compressed in all ways, in all chunks, damaged, and bombs."""

import gzip
import random
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from agent.registry.descriptor import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    INDEX,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
)
from agent.registry.layers import decompress
from agent.registry.layers.check import LayerCheck, LayerError, LayerFacts
from agent.registry.layers.decompress import PIECE, SLICE, Decompressor
from tests.unit.registry.layertars import END, LIMIT, look, member, python_tar

MIB = 1024 * 1024
SKIPPABLE = b"\x5a\x2a\x4d\x18\x05\0\0\0abcde"
EMPTY = gzip.compress(b"", mtime=0)
SMALL = b"".join([member("a", b"5"), member("a/b", data=b"hello" * 1000), END])


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zstd_of_unknown_size(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


FORMS = {
    "plain": SMALL,
    "gzip": gzip.compress(SMALL),
    "gzip of many members": gzip.compress(SMALL[:700]) + gzip.compress(SMALL[700:]),
    "gzip with empty members": EMPTY + gzip.compress(SMALL) + EMPTY,
    "zstd": zstd(SMALL),
    "zstd of many frames": zstd(SMALL[:700]) + zstd(SMALL[700:]),
    "zstd with frames to skip": SKIPPABLE + zstd(SMALL) + SKIPPABLE,
    "zstd of unknown size": zstd_of_unknown_size(SMALL),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 3, 1000, MIB])
@pytest.mark.parametrize(
    "media_type", [LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD]
)
def test_the_first_bytes_decide_on_the_compression(form: str, step: int, media_type: str) -> None:
    data = FORMS[form]
    chunks = (data[at : at + step] for at in range(0, len(data), step))
    facts = look(*chunks, media_type=media_type)
    assert facts == LayerFacts(len(SMALL), self_contained=True, whiteouts=False)


def test_an_oci_layer_of_plain_tar_must_be_one() -> None:
    assert look(SMALL, media_type=LAYER).self_contained
    with pytest.raises(LayerError):
        look(gzip.compress(SMALL), media_type=LAYER)


def test_what_is_no_layer_has_no_check() -> None:
    with pytest.raises(LayerError, match="is not the type of a layer"):
        LayerCheck(INDEX, LIMIT)


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\x8b", b"\x28\xb5\x2f"])
def test_a_stream_of_a_few_bytes_is_no_compressed_one(data: bytes) -> None:
    stream = Decompressor()
    assert (list(stream.feed(data)), stream.finish()) == ([], data)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "plain"])
def test_a_cut_stream_is_noticed(form: str) -> None:
    data = FORMS[form].removesuffix(SKIPPABLE).removesuffix(EMPTY)
    for cut in range(1, 40):
        with pytest.raises(LayerError, match="ends too early"):
            look(data[:-cut])


@pytest.mark.parametrize("rest", [b"x", b"\0", bytes(100), b"garbage" * 9, SMALL])
@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_follows_a_stream_must_be_one_too(form: str, rest: bytes) -> None:
    with pytest.raises(LayerError, match=r"stream is damaged|ends too early"):
        look(FORMS[form] + rest)


def test_a_damaged_stream_says_of_what_kind_it_is() -> None:
    packed = bytearray(gzip.compress(SMALL))
    packed[-6] ^= 1
    with pytest.raises(LayerError, match=r"the gzip stream is damaged: .*checksum"):
        look(bytes(packed))
    packed = bytearray(zstd(SMALL))
    packed[-2] ^= 1
    with pytest.raises(LayerError, match=r"the zstd stream is damaged: .*checksum"):
        look(bytes(packed))


@given(form=st.sampled_from(["gzip", "zstd"]), flip=st.integers(min_value=0))
@example(form="gzip", flip=8 * 4)  # the time in the header matters to nobody
def test_flipped_bits_never_pass_as_something_else(form: str, flip: int) -> None:
    data = bytearray(FORMS[form])
    bit = flip % (8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    try:
        facts = look(bytes(data))
    except LayerError:
        return
    assert facts == look(SMALL)


@given(data=st.binary(max_size=3000))
def test_noise_is_refused_in_order(data: bytes) -> None:
    for head in (b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", SMALL[:1024]):
        try:
            look(head + data)
        except LayerError:
            continue


# What Python's tarfile writes

ODD_NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda part: part not in (".", "..") and not part.startswith(".wh.")
    ),
    min_size=1,
    max_size=6,
).map("/".join)
NAMES = st.one_of(ODD_NAMES, st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join))
KINDS = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.AREGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
    ]
)


@st.composite
def members(draw: st.DrawFn) -> tarfile.TarInfo:
    info = tarfile.TarInfo(draw(st.sampled_from(["", "./", "/"])) + draw(NAMES))
    info.type = draw(KINDS)
    if info.isreg():
        info.size = draw(st.sampled_from([0, 1, 511, 512, 513, 40_000]))
    if info.issym() or info.islnk():
        info.linkname = draw(NAMES)
    info.uid = draw(st.sampled_from([0, 1000, 2**21, 2**33]))
    info.mtime = draw(st.sampled_from([0, 1.5, -1, 2**34]))
    info.uname = draw(st.sampled_from(["", "root", "jürgen"]))
    return info


def expected(entries: list[tarfile.TarInfo], size: int) -> LayerFacts:
    """The same rules in another way: over all names at once."""
    seen: dict[str, bool] = {"": True}  # path -> whether it is a directory
    contained = True
    for entry in entries:
        path = "/".join(part for part in entry.name.split("/") if part not in ("", "."))
        parent = path.rpartition("/")[0]
        contained &= seen.get(parent, False)
        if entry.islnk():
            target = "/".join(part for part in entry.linkname.split("/") if part)
            contained &= target in seen and not seen[target]
        if not entry.isdir():
            contained &= not seen.get(path, False)
        seen[path] = seen.get(path, False) or entry.isdir()
    return LayerFacts(size, contained, whiteouts=False)


@given(
    entries=st.lists(members(), max_size=12),
    tar_format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    pack=st.sampled_from([bytes, gzip.compress, zstd]),
    seed=st.integers(0, 2**32),
)
def test_what_python_writes_is_accepted_in_whatever_chunks(
    entries: list[tarfile.TarInfo], tar_format: int, pack: Callable[[bytes], bytes], seed: int
) -> None:
    try:
        layer = python_tar(entries, tar_format)
    except ValueError:  # more than that format can say
        return
    packed = pack(layer)
    assert look(*_split(packed, random.Random(seed))) == expected(entries, len(layer))


def _split(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(12)))
    return [data[one:two] for one, two in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# Bombs

BOMB_LIMIT = 64 * MIB


def gzip_bomb() -> bytes:
    """A thousand to one."""
    zeros = zlib.compressobj(9, wbits=31)
    return b"".join([*(zeros.compress(bytes(MIB)) for _ in range(100)), zeros.flush()])


def zstd_bomb() -> bytes:
    """Thirty thousand to one."""
    zeros = zstandard.ZstdCompressor(level=19).compressobj()
    return b"".join([*(zeros.compress(bytes(MIB)) for _ in range(100)), zeros.flush()])


@pytest.mark.parametrize("bomb", [gzip_bomb, zstd_bomb])
def test_a_bomb_ends_at_the_limit_and_takes_no_memory(bomb: Callable[[], bytes]) -> None:
    data = member("a", size=b"%011o\0" % (99 * MIB))[:512]
    packed = (gzip.compress(data) if bomb is gzip_bomb else zstd(data)) + bomb()
    check = LayerCheck(LAYER_GZIP, 200 * MIB)
    tracemalloc.start()
    try:
        check.feed(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert check.finish().unpacked_size == 100 * MIB + 512
    assert peak < 8 * MIB
    with pytest.raises(LayerError, match=f"more than {BOMB_LIMIT} bytes when unpacked"):
        look(packed, limit=BOMB_LIMIT)


@pytest.mark.parametrize("bomb", [gzip_bomb, zstd_bomb])
def test_pieces_are_small(bomb: Callable[[], bytes]) -> None:
    stream = Decompressor()
    sizes = [len(piece) for piece in stream.feed(bomb())]
    assert (sum(sizes), stream.finish()) == (100 * MIB, b"")
    assert max(sizes) <= PIECE


def test_a_zstd_window_beyond_its_limit_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(LayerError, match=r"the zstd stream is damaged: .*memory"):
        look(packer.compress(SMALL) + packer.flush())


def test_little_goes_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a member is copied, and there may be very many members."""
    sizes = []

    class Watched:
        eof, needs_input, unused_data = False, True, b""

        def decompress(self, data: bytes, max_length: int, /) -> bytes:
            sizes.append(len(data))
            return b""

    monkeypatch.setattr(decompress, "_gzip_member", Watched)
    assert list(Decompressor().feed(b"\x1f\x8b\x08" + bytes(MIB))) == []
    assert sum(sizes) == MIB + 3
    assert max(sizes) <= SLICE


@pytest.mark.parametrize("part", [EMPTY, SKIPPABLE])
def test_a_stream_of_all_too_many_parts_is_refused(
    monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(decompress, "MAX_MEMBERS", 5)
    look(part * 5)
    with pytest.raises(LayerError, match="more than 5 parts"):
        look(part * 6)


def test_a_stream_that_holds_nothing_has_a_limit_too() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (2**32 - 1).to_bytes(4, "little")
    check = LayerCheck(LAYER_ZSTD, MIB)
    check.feed(skipped)
    with pytest.raises(LayerError, match=f"more than {MIB} bytes as it is stored"):
        check.feed(bytes(MIB))


def test_many_members_take_little_memory() -> None:
    folders = "".join(f"{each}/" for each in ("usr", "share", "doc", "package"))
    check = LayerCheck(LAYER_GZIP, LIMIT)
    for end, letter in enumerate(folders, start=1):
        if letter == "/":
            check.feed(member(folders[:end], b"5"))
    block = member(f"{folders}0000000") * 1000
    tracemalloc.start()
    try:
        for _ in range(40):
            check.feed(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert check.finish().self_contained
    assert peak < MIB  # names themselves would take 3 MiB
