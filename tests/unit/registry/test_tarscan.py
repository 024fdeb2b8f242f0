"""Each rule of the look through a tar file, on headers made by hand."""

import pytest

from agent.registry.layers import contained, tarscan
from agent.registry.layers.errors import LayerError
from agent.registry.layers.header import number
from tests.unit.registry.layertars import END, look, member, pax, record

A_DIR = member("a", b"5")
A_FILE = member("a", data=b"hello")


@pytest.mark.parametrize(
    "layer",
    [
        [member("a"), END],
        [member("a", b"\0", b"x" * 512), END],
        [member("a/", b"\0"), member("a/b"), END],
        [member("a", b"3"), member("b", b"4"), member("c", b"6"), END],
        [member("a", b"2", link="../../etc/passwd"), END],
        [member("a", b"2", link="/"), END],
        [A_FILE, member("b", b"1", link="a"), member("c", b"1", link="/b"), END],
        [member("./", b"5"), member("./a", b"5"), member("./a/.//c/../d"), END],
        [member("/", b"5"), member("/a"), END],
        [member("a", b"5", size=b"00000000777\0"), member("a/b"), END],
        [A_DIR, member("b", prefix=b"a"), END],
        [member("a" * 100, magic=b"ustar  \0"), END],
        [member("a", magic=bytes(8), prefix=b"ignored"), END],
        [member("L", b"L", b"x" * 300 + b"\0"), member("a"), END],
        [A_DIR, pax(("path", b"a/b")), member("nowhere/b"), END],
        [A_DIR, pax(("path", b"nowhere/b")), member("L", b"L", b"a/b\0"), member("c"), END],
        [pax(("path", b"")), member("a"), END],
        [pax(("path", b"nowhere/a")), pax(("mtime", b"1.5")), member("a"), END],
        [pax(("path", b"x"), kind=b"g"), member("a"), END],
        [pax(("path", b"nowhere/a")), pax(("a", b"b"), kind=b"g"), member("a"), END],
        [A_FILE, pax(("linkpath", b"a")), member("b", b"1", link="nowhere"), END],
        [A_FILE, member("K", b"K", b"a\0"), member("b", b"1", link="nowhere"), END],
        [A_FILE],
        [A_FILE, bytes(512)],
        [A_FILE[: 512 + 5]],
        [A_FILE, END, b"whatever" * 99],
        [],
        [END],
    ],
)
def test_what_containerd_unpacks_is_accepted_and_self_contained(layer: list[bytes]) -> None:
    whole = b"".join(layer)
    facts = look(whole)
    assert facts.self_contained
    assert facts.unpacked_size == len(whole)
    assert look(*(whole[at : at + 1] for at in range(len(whole)))) == facts


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ([member("../a")], r"'\.\./a' leads out"),
        ([member("a/../../b")], "leads out"),
        ([member("/../a")], "leads out"),
        ([pax(("path", b"../a")), member("a")], "leads out"),
        ([member("L", b"L", b"../a\0"), member("a")], "leads out"),
        ([member("b", prefix=b"..")], "leads out"),
        ([pax(("path", b"../x"), kind=b"g")], "leads out"),
        ([A_FILE, member("b", b"1", link="../a")], "leads out"),
        ([A_FILE, pax(("linkpath", b"../a")), member("b", b"1")], "leads out"),
        ([A_FILE, member("K", b"K", b"../a\0"), member("b", b"1")], "leads out"),
        ([member("b", b"1")], "'' is not the name"),
        ([member("")], "'' is not the name"),
        ([pax(("path", b"a\0b")), member("a")], r"'a\\x00b' is not the name"),
        ([member("L", b"L", b"a\0b\0"), member("a")], r"'a\\x00b' is not the name"),
        ([pax(("path", b"a/" * 3000)), member("a")], r"a/a\.\.\. is not the name"),
        ([member(".")], "root of the image"),
        ([member("a/..", b"2", link="x")], "root of the image"),
        ([member(".wh.")], "would remove"),
        ([member("a/.wh..")], "would remove"),
        ([member("a/.wh...")], "would remove"),
        ([member("a", b"7")], "'a' is of a kind .* '7'"),
        ([member("a", b"S")], "of a kind"),
        ([member("a", b"Z")], "of a kind"),
        ([member("a", sum=b"0000001\0")], "the sum of a header is wrong"),
        ([member("a", sum=b"x000001\0")], "number that is none"),
        ([member("a", size=b"00000000008\0")], "number that is none"),
        ([member("a", size=b"\xff" * 12)], "below zero"),
        ([b"x" * 512], "number that is none"),
        ([b"\x89" * 512], "not a tar file"),
        ([A_FILE[:300]], "ends too early"),
        ([A_FILE[: 512 + 4]], "ends too early"),
        ([pax(("path", b"a"))], "ends too early"),
        ([pax(("path", b"a"))[:600]], "ends too early"),
        ([pax(("path", b"a")), END], "ends too early"),
        ([A_FILE, bytes(512), A_FILE], "after a block of zeros"),
        ([pax(("a", b"b")) * 9, A_FILE], "more than 8 extended"),
        ([member("x", b"x", size=b"00004000001\0")], "header of 1048577 bytes"),
        ([member("L", b"L", size=b"00004000001\0")], "header of 1048577 bytes"),
        ([member("x", b"x", b"garbage"), A_FILE], "number that is none|damaged"),
        ([member("x", b"x", b" a=b\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"6a=bcd\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"0 a=b\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"1 a=b\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"7 a=b\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"6 =bc\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"6 abc\n"), A_FILE], "damaged"),
        ([member("x", b"x", b"6 a=bc"), A_FILE], "damaged"),
        ([member("x", b"x", b"-6 a=b\n"), A_FILE], "number that is none"),
        ([member("x", b"x", b"9" * 19 + b" a=b\n"), A_FILE], "number that is none"),
        ([member("x", b"x", b"6 a=b\n" * 10_001), A_FILE], "more than 10000 records"),
        ([pax(("size", b"-1")), A_FILE], "number that is none"),
        ([pax(("size", b"9" * 30)), A_FILE], "number that is none"),
        ([pax(("GNU.sparse.major", b"2")), A_FILE], "sparse file in a format"),
    ],
)
def test_what_is_wrong_is_refused(layer: list[bytes], says: str) -> None:
    whole = b"".join(layer)
    with pytest.raises(LayerError, match=says):
        look(whole)
    with pytest.raises(LayerError, match=says):
        look(*(whole[at : at + 100] for at in range(0, len(whole), 100)))


@pytest.mark.parametrize(
    "layer",
    [
        [member("a/b")],
        [member("etc/", b"5"), member("usr/bin/x")],
        [member("a/b"), A_DIR],
        [member("a", b"2", link="b"), member("a/c")],
        [member("b", b"1", link="a")],
        [member("b", b"1", link="a"), A_FILE],
        [member("b", b"1", link="b")],
        [A_DIR, member("a/.wh.b"), member("c/.wh.d")],
        [A_DIR, member("a/b"), member("a", b"2", link="/x")],
        [pax(("comment", b"x"), kind=b"g", name="nowhere/g"), A_FILE],
        [A_DIR, member("a/b/c")],
    ],
)
def test_what_needs_the_layers_below_is_not_self_contained(layer: list[bytes]) -> None:
    assert not look(*layer, END).self_contained


@pytest.mark.parametrize(
    ("layer", "removes"),
    [
        ([A_FILE], False),
        ([A_DIR, member("a/.wh.b")], True),
        ([A_DIR, member("a/.wh..wh..opq")], True),
        ([member("a.wh.b")], False),
    ],
)
def test_layers_that_remove_something_say_so(layer: list[bytes], removes: bool) -> None:
    facts = look(*layer, END)
    assert (facts.self_contained, facts.whiteouts) == (True, removes)


def test_sums_of_signed_bytes_are_right_too() -> None:
    header = member(b"\xc3\xa4")
    signed = sum(byte - 256 if byte > 127 else byte for byte in header) - sum(header[148:156])
    look(member(b"\xc3\xa4", sum=b"%06o\0 " % (signed + 8 * 32)), END)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"00000000017\0", 15),
        (b"        17 \0", 15),
        (bytes(12), 0),
        (b"17\0garbage9\0"[:3] + bytes(9), 15),
        (b"\x80" + (2**40).to_bytes(11, "big"), 2**40),
        (b"\xff" * 12, -1),
        (b"\xff" * 11 + b"\0", -256),
    ],
)
def test_numbers_are_octal_or_binary(field: bytes, value: int) -> None:
    assert number(field) == value


def test_a_prefix_that_old_versions_of_go_wrote_into_gnu_headers_counts() -> None:
    gnu = b"ustar  \0"
    assert look(A_DIR, member("b", magic=gnu, prefix=b"a"), END).self_contained
    assert not look(A_DIR, member("b", magic=gnu, prefix=b"nowhere"), END).self_contained
    times = b"14000000000\0" * 2
    assert look(member("b", magic=gnu, prefix=times), END).self_contained
    assert look(member("b", magic=gnu, prefix=b"\xc3\xa4/b"), END).self_contained


def test_a_header_of_star_has_a_shorter_prefix() -> None:
    block = bytearray(member("b", prefix=b"a".ljust(131, b"\0") + b"00000000000\0", size=b"0" * 12))
    block[508:512] = b"tar\0"
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    assert look(A_DIR, bytes(block), END).self_contained


SPARSE = [
    [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9000")],
    [("GNU.sparse.major", b"0"), ("GNU.sparse.minor", b"1"), ("GNU.sparse.size", b"9000")],
    [("GNU.sparse.map", b"0,1,8999,1"), ("GNU.sparse.size", b"9000")],
    [
        ("GNU.sparse.size", b"9000"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"1"),
    ],
]


@pytest.mark.parametrize("records", SPARSE)
def test_holes_count_as_what_they_will_be(records: list[tuple[str, bytes]]) -> None:
    named = [*records, ("GNU.sparse.name", b"a/b")]
    names = pax(*named, ("path", b"nowhere/c")) + member("L", b"L", b"nowhere/d\0")
    layer = A_DIR + names + member("nowhere/b", data=b"x" * 512) + END
    facts = look(layer)
    assert facts.self_contained
    assert facts.unpacked_size == len(layer) + 9000 - 512
    look(layer, limit=facts.unpacked_size)
    with pytest.raises(LayerError, match=r"more than \d+ bytes when unpacked"):
        look(layer, limit=facts.unpacked_size - 1)


def test_a_file_with_holes_is_no_folder_whatever_it_is_called() -> None:
    hidden = member("b", size=b"%011o\0" % 2048)
    records = pax(("GNU.sparse.map", b"0,512"), ("GNU.sparse.name", b"a/"))
    layer = records + member("a", b"\0", data=hidden) + member("../c") + END
    with pytest.raises(LayerError, match="leads out"):
        look(layer)


def test_a_record_about_holes_alone_makes_no_sparse_file() -> None:
    layer = pax(("GNU.sparse.size", b"9000")) + A_FILE + END
    assert look(layer).unpacked_size == len(layer)


def test_a_size_beyond_the_limit_is_refused_at_once() -> None:
    huge = member("a", size=b"\x80" + (2**62).to_bytes(11, "big"))
    with pytest.raises(LayerError, match=r"more than 1073741824 bytes when unpacked"):
        look(huge)
    with pytest.raises(LayerError, match=r"more than 1073741824 bytes when unpacked"):
        look(pax(("size", str(2**63 - 1).encode())), A_FILE)


def test_a_size_in_an_extended_header_counts() -> None:
    layer = pax(("size", b"513")) + member("a") + bytes(1024) + member("../b")
    with pytest.raises(LayerError, match="leads out"):
        look(layer)


def test_a_limit_counts_what_comes_after_the_archive() -> None:
    with pytest.raises(LayerError, match="more than 2048 bytes"):
        look(A_FILE, END, b"x", limit=2048)
    look(A_FILE, END, limit=2048)


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarscan, "MAX_MEMBERS", 3)
    look(*(member(str(number)) for number in range(3)), END)
    with pytest.raises(LayerError, match="more than 3 files"):
        look(*(member(str(number)) for number in range(4)))


def test_with_too_many_folders_to_remember_a_layer_is_not_self_contained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contained, "MAX_FOLDER_BYTES", 200)
    assert look(*(member(str(number), b"5") for number in range(3)), END).self_contained
    assert not look(*(member(str(number), b"5") for number in range(4)), END).self_contained


def test_with_too_many_links_to_remember_a_layer_is_not_self_contained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contained, "MAX_LINKS", 2)
    links = [A_FILE, member("b", b"1", link="a"), member("c", b"1", link="b")]
    assert look(*links, END).self_contained
    assert not look(*links, member("d", b"1", link="c"), END).self_contained


def test_records_are_as_long_as_they_say() -> None:
    assert record("a", b"b") == b"6 a=b\n"
