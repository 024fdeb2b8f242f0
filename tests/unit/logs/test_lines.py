from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.logs.lines import PIECE, Lines


def fed(*reads: bytes) -> list[bytes]:
    lines = Lines()
    return [piece for read in reads for piece in lines.feed(read)] + lines.finish()


def test_lines_split_over_reads_are_joined() -> None:
    assert fed(b"on", b"e\ntwo\nth", b"ree\n") == [b"one\n", b"two\n", b"three\n"]


def test_empty_lines_are_lines() -> None:
    assert fed(b"\n\na\n") == [b"\n", b"\n", b"a\n"]


def test_a_last_line_without_newline_comes_out_at_the_end() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb") == [b"a\n"]
    assert lines.tail == b"b"
    assert lines.finish() == [b"b"]
    assert lines.finish() == []


def test_a_long_line_comes_out_in_pieces_before_its_end_is_known() -> None:
    lines = Lines()
    assert lines.feed(b"x" * (PIECE + 1)) == [b"x" * PIECE]
    assert lines.feed(b"\n") == [b"x\n"]


def test_a_line_of_exactly_one_piece_stays_whole() -> None:
    assert fed(b"x" * PIECE + b"\n") == [b"x" * PIECE + b"\n"]


def test_a_piece_never_ends_inside_a_character() -> None:
    pieces = fed(b"x" + "é".encode() * PIECE + b"\n")
    assert "".join(piece.decode() for piece in pieces) == "x" + "é" * PIECE + "\n"


def test_bytes_that_are_no_text_are_still_split() -> None:
    assert [len(piece) for piece in fed(b"\x80" * (2 * PIECE) + b"\n")] == [PIECE, PIECE + 1]


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\xc3\xa9", b"\x80", b"y" * PIECE, b"z" * 9_999])),
    st.lists(st.integers(0, 3 * PIECE)),
)
def test_how_the_bytes_were_read_makes_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    reads = [data[a:b] for a, b in pairwise(places)]
    pieces = fed(*reads)
    assert pieces == fed(data)
    assert b"".join(pieces) == data
    assert all(len(piece.removesuffix(b"\n")) <= PIECE for piece in pieces)
