"""Ranges of addresses: what may be handed out, and in which order. Pure arithmetic.

A range set gives one address to each attachment. It is never walked through to count or to list
it: an IPv6 range may hold more addresses than can ever be looked at.

Reference: the `ranges` of CNI's host-local plugin.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_network,
)
from typing import TypeAlias

from cni.conf import Fields
from cni.errors import CNIError, Code

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Interface: TypeAlias = IPv4Interface | IPv6Interface

_Span: TypeAlias = tuple[int, int]  # first and last, as numbers


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses `first` to `last` of a subnet; the gateway is no one's, even among them."""

    subnet: Network
    first: Address
    last: Address
    gateway: Address

    def __contains__(self, address: Address) -> bool:
        same = address.version == self.subnet.version
        return same and int(self.first) <= int(address) <= int(self.last)

    def interface(self, address: Address) -> Interface:
        """The address with the prefix length of the subnet."""
        pair = (int(address), self.subnet.prefixlen)
        return IPv4Interface(pair) if self.subnet.version == 4 else IPv6Interface(pair)

    def overlaps(self, other: "Range") -> bool:
        """Whether an address is in both."""
        return self.first in other or other.first in self


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family; what is handed out by turns are the `spans`, in this order."""

    ranges: tuple[Range, ...]
    spans: tuple[_Span, ...]

    @property
    def capacity(self) -> int:
        """How many addresses are handed out by turns."""
        return sum(last - first + 1 for first, last in self.spans)

    def range_of(self, address: Address) -> Range | None:
        """The range that has the address."""
        return next((each for each in self.ranges if address in each), None)

    def hands_out(self, address: Address) -> bool:
        """Whether the address is handed out by turns: in a range, no gateway, not reserved."""
        return self.range_of(address) is not None and self._span_of(int(address)) is not None

    def candidates(self, after: Address | None) -> Iterator[Address]:
        """Every address once, beginning with the one behind `after`; in order, wrapping around."""
        kind = IPv4Address if self.ranges[0].subnet.version == 4 else IPv6Address
        for first, last in self._turn(after):
            for number in range(first, last + 1):
                yield kind(number)

    def _turn(self, after: Address | None) -> Iterator[_Span]:
        at = self._span_of(int(after)) if after is not None and self.range_of(after) else None
        if at is None or after is None:
            yield from self.spans
            return
        first, last = self.spans[at]
        yield int(after) + 1, last
        yield from self.spans[at + 1 :]
        yield from self.spans[:at]
        yield first, int(after)

    def _span_of(self, number: int) -> int | None:
        places = (at for at, (first, last) in enumerate(self.spans) if first <= number <= last)
        return next(places, None)


def parse_sets(lists: Sequence[Sequence[Fields]], reserved: Collection[Network]) -> list[RangeSet]:
    """Return the range sets; raises number 7 for what contradicts itself or another set."""
    sets = [range_set([parse_range(each) for each in one], reserved) for one in lists]
    for at, one in enumerate(sets):
        for other in sets[:at]:
            _require_apart([*other.ranges, *one.ranges])
    return sets


def parse_range(fields: Fields) -> Range:
    """Return a range (`subnet`, `rangeStart`, `rangeEnd`, `gateway`), defaults filled in."""
    subnet: Network | None = fields.network("subnet")
    if subnet is None:
        raise fields.wrong("subnet", "must be given")
    if subnet.max_prefixlen - subnet.prefixlen < 2:
        raise fields.wrong("subnet", "has no room for containers")
    first: Address = fields.address("rangeStart") or subnet[1]
    # IPv4's last address is the broadcast address.
    last: Address = fields.address("rangeEnd") or subnet[-2 if subnet.version == 4 else -1]
    for key, bound in (("rangeStart", first), ("rangeEnd", last)):
        if bound not in subnet:
            raise fields.wrong(key, f"must be in {subnet}")
    if int(first) > int(last):
        raise fields.wrong("rangeEnd", f"must not come before {first}")
    gateway: Address = fields.address("gateway") or subnet[1]
    if gateway.version != subnet.version:
        raise fields.wrong("gateway", f"must be of the same family as {subnet}")
    return Range(subnet, first, last, gateway)


def range_set(ranges: Sequence[Range], reserved: Collection[Network] = ()) -> RangeSet:
    """Return a set of these ranges; gateways and `reserved` are not handed out by turns."""
    if not ranges:
        raise CNIError(Code.INVALID_CONFIG, "a range set is empty")
    if len({each.subnet.version for each in ranges}) > 1:
        raise CNIError(Code.INVALID_CONFIG, "a range set mixes IPv4 and IPv6")
    _require_apart(ranges)
    blocked = [ip_network(each.gateway) for each in ranges]
    blocked += [each for each in reserved if each.version == ranges[0].subnet.version]
    holes = sorted((int(each[0]), int(each[-1])) for each in blocked)
    spans = [span for each in ranges for span in _without(int(each.first), int(each.last), holes)]
    return RangeSet(tuple(ranges), tuple(spans))


def _require_apart(ranges: Sequence[Range]) -> None:
    for at, one in enumerate(ranges):
        for other in ranges[:at]:
            if one.overlaps(other):
                both = f"{other.first}-{other.last} and {one.first}-{one.last}"
                raise CNIError(Code.INVALID_CONFIG, f"the ranges {both} overlap")


def _without(first: int, last: int, holes: Sequence[_Span]) -> Iterator[_Span]:
    """The parts of a span that lie in no hole; the holes come sorted."""
    for low, high in holes:
        if high < first or low > last:
            continue
        if first < low:
            yield first, low - 1
        first = high + 1
    if first <= last:
        yield first, last
