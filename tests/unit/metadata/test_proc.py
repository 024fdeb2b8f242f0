"""Tests of what is taken from /proc."""

from hypothesis import given
from hypothesis import strategies as st

from metadata.stats import proc
from metadata.stats.proc import HostCpu, InterfaceCounters
from tests.unit.metadata.kernel import NET_DEV, STAT


def test_host_cpu_counts_idle_time_but_neither_steal_nor_guest() -> None:
    assert proc.host_cpu(STAT) == HostCpu(4213 * 10_000_000, 2)


def test_interfaces_leave_out_the_loopback() -> None:
    assert proc.interfaces(NET_DEV) == {
        "eth0": InterfaceCounters(1, 2, 3, 4, 5, 6, 7, 8),
        "eth0.7": InterfaceCounters(1234567890, 0, 0, 0, 10, 0, 0, 0),
    }


COUNTS = st.lists(st.integers(0, 2**64 - 1), min_size=16, max_size=16)
NAMES = st.from_regex(r"[a-z0-9.:@-]{1,15}", fullmatch=True)


@given(st.dictionaries(NAMES, COUNTS))
def test_any_interface_is_read_as_it_was_written(written: dict[str, list[int]]) -> None:
    head = "Inter-| Receive | Transmit\n face |bytes\n"
    lines = (f"{name:>6}: {' '.join(map(str, row))}\n" for name, row in written.items())
    assert proc.interfaces(head + "".join(lines)) == {
        name: InterfaceCounters(*row[:4], *row[8:12])
        for name, row in written.items()
        if name != "lo"
    }


@given(st.lists(st.integers(0, 2**48), min_size=10, max_size=10), st.integers(1, 300))
def test_any_host_is_read_as_it_was_written(ticks: list[int], processors: int) -> None:
    rows = [" ".join(map(str, ticks))] * (processors + 1)
    names = ["cpu ", *(f"cpu{number}" for number in range(processors))]
    stat = "".join(f"{name} {row}\n" for name, row in zip(names, rows, strict=True))
    assert proc.host_cpu(stat) == HostCpu(sum(ticks[:7]) * 10_000_000, processors)
