"""Range arithmetic: properties over random ranges, and what is refused."""

from ipaddress import IPv4Network, ip_address, ip_network
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.ipam.ranges import Range, RangeSet, parse_range, parse_sets, range_set

SUBNET = IPv4Network("10.0.0.0/26")


def one(**keys: Any) -> Range:
    return parse_range(Fields(keys))


@st.composite
def range_sets(draw: st.DrawFn) -> RangeSet:
    """Up to three ranges apart from each other in one subnet, with some addresses reserved."""
    count = draw(st.integers(1, 3))
    bounds = sorted(draw(st.sets(st.integers(1, 62), min_size=2 * count, max_size=2 * count)))
    gateway = SUBNET[draw(st.integers(1, 62))]
    ranges = [
        Range(SUBNET, SUBNET[first], SUBNET[last], gateway)
        for first, last in zip(bounds[::2], bounds[1::2], strict=True)
    ]
    reserved = draw(st.lists(st.integers(0, 63), max_size=5))
    return range_set(draw(st.permutations(ranges)), [ip_network(SUBNET[at]) for at in reserved])


addresses = st.integers(0, 63).map(SUBNET.__getitem__)


@given(range_sets(), st.none() | addresses)
def test_candidates_are_all_that_is_handed_out_each_once(ranges: RangeSet, after: Any) -> None:
    found = list(ranges.candidates(after))

    assert sorted(found) == [each for each in SUBNET if ranges.hands_out(each)]
    assert len(found) == len(set(found)) == ranges.capacity


@given(range_sets(), addresses)
def test_candidates_go_on_behind_the_last_one_and_come_to_it_last(
    ranges: RangeSet, after: Any
) -> None:
    order = list(ranges.candidates(None))
    if after in order:
        at = order.index(after) + 1
        assert list(ranges.candidates(after)) == order[at:] + order[:at]
    else:
        assert list(ranges.candidates(after)) == order


def test_defaults_are_those_of_host_local() -> None:
    four, six = one(subnet="10.1.0.0/16"), one(subnet="fd00::/64")

    assert list(map(str, (four.first, four.last, four.gateway))) == [
        "10.1.0.1",
        "10.1.255.254",
        "10.1.0.1",
    ]
    assert list(map(str, (six.first, six.last, six.gateway))) == [
        "fd00::1",
        "fd00::ffff:ffff:ffff:ffff",
        "fd00::1",
    ]
    assert next(range_set([four]).candidates(None)) == ip_address("10.1.0.2")


def test_a_range_too_large_to_walk_is_counted_and_begun_at_once() -> None:
    huge = range_set([one(subnet="fd00::/16")])

    assert huge.capacity == 2**112 - 2
    last = ip_address("fd00::1:0:0:5")
    assert list(islice(huge.candidates(last), 2)) == [last + 1, last + 2]
    assert next(huge.candidates(ip_address("fd00:ffff:" + ":".join(["ffff"] * 6)))) == (
        ip_address("fd00::2")
    )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "subnet must be given"),
        ({"subnet": "10.0.0.1/24"}, "subnet must be a network"),
        ({"subnet": "10.0.0.0/31"}, "no room"),
        ({"subnet": "fd00::/127"}, "no room"),
        ({"subnet": "fe80::%eth0/64"}, "subnet"),
        ({"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}, "rangeStart must be in"),
        ({"subnet": "10.0.0.0/24", "rangeEnd": "fd00::5"}, "rangeEnd must be in"),
        (
            {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"},
            "must not come before",
        ),
        ({"subnet": "10.0.0.0/24", "gateway": "fd00::1"}, "same family"),
    ],
)
def test_a_range_that_cannot_be_is_refused(keys: dict[str, str], words: str) -> None:
    with pytest.raises(CNIError, match=words) as caught:
        one(**keys)
    assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([[]], "empty"),
        ([["10.0.0.0/24", "fd00::/64"]], "mixes"),
        ([["10.0.0.0/24", "10.0.0.0/25"]], "overlap"),
        ([["10.0.0.0/24"], ["10.1.0.0/24"], ["10.0.0.128/25"]], "overlap"),
    ],
)
def test_sets_that_contradict_themselves_or_each_other_are_refused(
    lists: list[list[str]], words: str
) -> None:
    fields = [[Fields({"subnet": subnet}) for subnet in each] for each in lists]
    with pytest.raises(CNIError, match=words) as caught:
        parse_sets(fields, ())
    assert caught.value.code == Code.INVALID_CONFIG
