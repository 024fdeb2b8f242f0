"""Quantities as people read them."""

import pytest

from agent.task.units import span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 seconds"),
        (0.9, "0 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172800, "2 days"),
    ],
)
def test_spans_are_in_the_largest_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    assert span(seconds) == text
