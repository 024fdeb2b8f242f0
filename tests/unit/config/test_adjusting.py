"""Settings that the ECS agent adjusts."""

from __future__ import annotations

import pytest

from agent.config.adjusting import Adjusted, at_least, between, count_or, pull_behavior, rate


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("10,20", (10.0, 20)),
        (" 10 , 20 ", (10.0, 20)),
        ("0,20", Adjusted((40.0, 60), "is not positive: it is 40,60")),
        ("10,-1", Adjusted((40.0, 60), "is not positive: it is 40,60")),
    ],
)
def test_a_rate_that_is_not_positive_is_the_usual_one(text: str, parsed: object) -> None:
    assert rate(40.0, 60)(text) == parsed


@pytest.mark.parametrize("text", ["", "10", "10,20,30", "a,b", "1.5,2", "10;20"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="must be requests per second and a burst"):
        rate(40.0, 60)(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", Adjusted(5.0, "is not between 5s and 20s: it is 5s")),
        ("7s", 7.0),
        ("1h", Adjusted(20.0, "is not between 5s and 20s: it is 20s")),
        ("0", 10.0),
    ],
)
def test_a_bounded_duration_becomes_its_bound(text: str, value: object) -> None:
    assert between(5.0, 20.0, unset=10.0)(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("59s", Adjusted(1800.0, "is below 1m: it is 30m")),
        ("1m", 60.0),
        ("0", 7.0),
        ("0s", 7.0),
    ],
)
def test_a_duration_below_its_bound_is_another(text: str, value: object) -> None:
    assert at_least(60.0, 1800.0, unset=7.0)(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", Adjusted(5, "is less than 1: it is 5")), ("-3", Adjusted(5, "is less than 1: it is 5"))],
)
def test_a_count_below_one_is_another(text: str, value: object) -> None:
    assert count_or(5)(text) == value
    assert count_or(5)(" 7 ") == 7
    with pytest.raises(ValueError, match="must be a whole number"):
        count_or(5)("many")


def test_an_unknown_pull_behaviour_is_the_default_and_told() -> None:
    for each in ("default", "always", "once", "prefer-cached"):
        assert pull_behavior(each) == each
    told = pull_behavior("Always")
    assert isinstance(told, Adjusted)
    assert told.value == "default"
    assert told.why.startswith("is none of default, always")
