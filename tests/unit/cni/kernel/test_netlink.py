"""Packing and parsing of netlink attributes, without a kernel."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from cni.kernel.netlink import NetlinkError, attribute, attributes, nested

pairs = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8)


@given(pairs)
def test_what_is_packed_is_parsed_again(values: list[tuple[int, bytes]]) -> None:
    packed = b"".join(attribute(kind, value) for kind, value in values)

    assert len(packed) % 4 == 0
    assert list(attributes(packed)) == values
    assert list(attributes(b"head" + packed, 4)) == values


def test_nested_attributes_are_marked_and_found_by_their_plain_type() -> None:
    packed = nested(5, attribute(1, b"abc"), attribute(2, b""))

    assert struct.unpack_from("=HH", packed) == (16, 0x8005)
    ((kind, body),) = attributes(packed)
    assert (kind, list(attributes(body))) == (5, [(1, b"abc"), (2, b"")])


def test_an_error_says_what_was_refused_and_why() -> None:
    error = NetlinkError(17, "create bridge br0", "the kernel's words", position=3)

    assert str(error) == "[Errno 17] create bridge br0: File exists (the kernel's words)"
    assert (error.errno, error.position) == (17, 3)
