import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.summary import Summary, ratio, summary

TIMES = st.lists(st.floats(min_value=0.001, max_value=1000.0), min_size=1, max_size=50)


def test_a_summary_has_the_quartiles_that_include_both_ends() -> None:
    assert summary([5.0, 1.0, 3.0, 2.0, 4.0]) == Summary(1.0, 2.0, 3.0, 4.0)


def test_a_single_value_is_its_own_summary() -> None:
    assert summary([7.0]) == Summary(7.0, 7.0, 7.0, 7.0)


@given(TIMES)
def test_a_summary_is_in_order_whatever_the_values_are(values: list[float]) -> None:
    found = summary(values)
    assert found.least == min(values)
    assert found.least <= found.p25 <= found.median <= found.p75 <= max(values)


def test_a_ratio_compares_round_by_round() -> None:
    # The machine was ten times slower in the last round, for both.
    assert ratio([1.0, 1.2, 10.0], [2.0, 2.0, 20.0]) == 0.5


@given(TIMES, st.floats(min_value=0.1, max_value=10.0))
def test_what_is_always_so_many_times_slower_has_that_ratio(
    values: list[float], times: float
) -> None:
    assert ratio([each * times for each in values], values) == pytest.approx(times)


def test_a_ratio_needs_both_in_every_round() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])
